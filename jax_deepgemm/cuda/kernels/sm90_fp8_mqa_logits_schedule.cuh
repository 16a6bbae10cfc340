// Which tiles of keys each CTA of the MQA logits multiplies with which queries.
//
// Tiles of a block of queries are those that hold a key of any of its rows. All tiles, block after
// block, are cut into one range of equal cost for each CTA.
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
    u32 tiles = 0;
    u32 cost = 0;
#pragma unroll kBlocksAtOnce
    for (u32 block = first_block; block < end_block; ++block) {
      const u32 count = tiles_of(params, block).count;
      tiles += count;
      cost += cost_of(count);
    }
    u32 all_tiles, all_costs;
    const u32 tiles_before = scan_before<Sum>(smem.warp_tiles, tiles, all_tiles);
    const u32 costs_before = scan_before<Sum>(smem.warp_costs, cost, all_costs);
    const u32 begin = share_of(all_costs, blockIdx.x) - costs_before;
    const u32 end = share_of(all_costs, blockIdx.x + 1) - costs_before;
    if (begin < cost) smem.start = start_at(params, first_block, tiles_before, begin);
    if (end < cost) smem.end = start_at(params, first_block, tiles_before, end).index;
    __syncthreads();
    if (all_tiles == 0) return 0;
    return (blockIdx.x + 1 == gridDim.x ? all_tiles : smem.end) - smem.start.index;
  }

 private:
  // Of a tile, and of a block that has some, whose products drain or whose weights are loaded. Of
  // 8192 causal rows the first CTA has 178 blocks, the last one 8: with shares of equally many
  // tiles it took 15 % longer.
  static constexpr u32 kTileCost = 2;
  static constexpr u32 kBlockCost = 1;

  __device__ static __forceinline__ u32 cost_of(u32 num_tiles) {
    return num_tiles * kTileCost + (num_tiles == 0 ? 0 : kBlockCost);
  }

  // Where a CTA begins whose share begins `cost` behind a block; `index` of all tiles are before.
  __device__ static __forceinline__ typename Traits::TileStart start_at(const Params& params,
                                                                        u32 block, u32 index,
                                                                        u32 cost) {
    u32 count;
#pragma unroll 1
    for (; cost_of(count = tiles_of(params, block).count) <= cost; ++block) {
      cost -= cost_of(count);
      index += count;
    }
    const u32 tile = min(cost / kTileCost, count - 1);
    return {block, tile, index + tile};
  }

  __device__ static __forceinline__ u32 share_of(u32 total, u32 cta) {
    return static_cast<u32>(static_cast<u64>(total) * cta / gridDim.x);
  }
};

}  // namespace jdg
