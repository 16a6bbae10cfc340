// Which tiles of keys each CTA of the MQA logits multiplies with which queries.
//
// Tiles of a block of queries are those that hold a key of any of its rows. All tiles, block after
// block, are cut into one range of equal length for each CTA.
#pragma once

#include "common/block_scan.cuh"
#include "kernels/sm90_fp8_mqa_logits_types.cuh"

namespace jdg {

template <Sm90Fp8MqaLogitsConfig kConfig, typename Traits = Sm90Fp8MqaLogitsTraits<kConfig>>
struct Sm90Fp8MqaLogitsSchedule {
  using Params = Sm90Fp8MqaLogitsParams;
  using Smem = typename Traits::Smem;
  static constexpr u32 kBlockQ = Traits::kBlockQ;
  static constexpr u32 kBlockKv = Traits::kBlockKv;
  // Ranges that are read at once.
  static constexpr int kRowsAtOnce = kBlockQ < 8 ? kBlockQ : 8;
  static constexpr int kBlocksAtOnce = 8 / kRowsAtOnce;

  struct Tiles {
    u32 first;
    u32 count;
  };

  // The tiles of a block of queries; none of one that is not there. Without a branch, so that
  // several ranges are read at once.
  __device__ static __forceinline__ Tiles tiles_of(const Params& params, u32 block) {
    u32 begin = ~0u;
    u32 end = 0;
#pragma unroll kRowsAtOnce
    for (u32 i = 0; i < kBlockQ; ++i) {
      // Past the end the last row again, which is in a block that is there.
      const KeyRange keys = key_range(params, min(block * kBlockQ + i, params.num_rows - 1));
      begin = min(begin, keys.count == 0 ? ~0u : keys.start);
      end = max(end, keys.count == 0 ? 0 : keys.start + keys.count);
    }
    const u32 first = begin / kBlockKv;
    const u32 count = (end + kBlockKv - 1) / kBlockKv - first;
    const bool is_there = block * kBlockQ < params.num_rows;
    return is_there && end != 0 ? Tiles{first, count} : Tiles{0, 0};
  }

  // Returns how many tiles this CTA has, and writes where they begin. All threads call it.
  __device__ static __forceinline__ u32 place(const Params& params, Smem& smem) {
    const u32 num_blocks = (params.num_rows + kBlockQ - 1) / kBlockQ;
    const u32 share = (num_blocks + Traits::kNumThreads - 1) / Traits::kNumThreads;
    const u32 first_block = threadIdx.x * share;
    const u32 end_block = min(first_block + share, num_blocks);
    u32 own = 0;
#pragma unroll kBlocksAtOnce
    for (u32 block = first_block; block < end_block; ++block) own += tiles_of(params, block).count;
    u32 total;
    const u32 before = scan_before<Sum>(smem.warp_tiles, own, total);
    const u32 begin = share_of(total, blockIdx.x);
    if (begin >= before && begin - before < own) {
      u32 rest = begin - before;
      u32 block = first_block;
#pragma unroll 1
      for (u32 count; (count = tiles_of(params, block).count) <= rest; ++block) rest -= count;
      smem.start = {block, rest};
    }
    __syncthreads();
    return share_of(total, blockIdx.x + 1) - begin;
  }

 private:
  __device__ static __forceinline__ u32 share_of(u32 total, u32 cta) {
    return static_cast<u32>(static_cast<u64>(total) * cta / gridDim.x);
  }
};

}  // namespace jdg
