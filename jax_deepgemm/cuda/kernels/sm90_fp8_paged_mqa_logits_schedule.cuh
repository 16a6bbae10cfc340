// Which tiles of keys each CTA of the paged MQA logits multiplies with which rows.
//
// A block is rows of one sequence; its tiles are those that hold a key of any of them. All tiles,
// block after block, are cut into one range of equal length for each CTA.
#pragma once

#include "common/block_scan.cuh"
#include "kernels/sm90_fp8_paged_mqa_logits_types.cuh"

namespace jdg {

template <Sm90Fp8PagedMqaLogitsConfig kConfig,
          typename Traits = Sm90Fp8PagedMqaLogitsTraits<kConfig>>
struct Sm90Fp8PagedMqaLogitsSchedule {
  using Params = Sm90Fp8PagedMqaLogitsParams;
  using Smem = typename Traits::Smem;
  static constexpr u32 kBlockQ = Traits::kBlockQ;
  // Lengths that are read at once.
  static constexpr int kRowsAtOnce = kBlockQ < 8 ? kBlockQ : 8;
  static constexpr int kBlocksAtOnce = 8 / kRowsAtOnce;

  struct Block {
    u32 row;
    u32 num_rows;  // 0 if a candidate is no block.
  };

  // Where the run of equal indices begins, or of rows of a sequence; a multiple of kBlockQ off will
  // do.
  struct Run {
    u32 begin;
  };

  __device__ static __forceinline__ u32 blocks_of_sequence(const Params& params) {
    return (params.next_n + kBlockQ - 1) / kBlockQ;
  }

  // Every row may begin a block where indices decide, else all candidates are blocks.
  __device__ static __forceinline__ u32 num_candidates(const Params& params) {
    if constexpr (kConfig.is_varlen) {
      return params.num_rows;
    } else {
      return params.num_rows / params.next_n * blocks_of_sequence(params);
    }
  }

  // Whether a row is the first of its sequence. Without a branch, as what follows, so that several
  // are looked at at once.
  __device__ static __forceinline__ bool begins_run(const Params& params, u32 row) {
    const u32 last = params.num_rows - 1;
    const u32 here = min(row, last);
    const int before = params.indices[max(here, 1u) - 1];
    return row == 0 || (row <= last && params.indices[here] != before);
  }

  // Goes on to `candidate`, the one after that of the call before.
  __device__ static __forceinline__ void enter_run(const Params& params, u32 candidate, Run& run) {
    if constexpr (kConfig.is_varlen) {
      if (begins_run(params, candidate)) run.begin = candidate;
    }
  }

  __device__ static __forceinline__ Block block_at(const Params& params, u32 candidate, Run run) {
    if constexpr (kConfig.is_varlen) {
      const u32 last = params.num_rows - 1;
      const int own = params.indices[min(candidate, last)];
      bool same = candidate <= last && (candidate - run.begin) % kBlockQ == 0;
      u32 num_rows = same;
#pragma unroll
      for (u32 i = 1; i < kBlockQ; ++i) {
        same &= candidate + i <= last && params.indices[min(candidate + i, last)] == own;
        num_rows += same;
      }
      return {candidate, num_rows};
    } else {
      const u32 blocks = blocks_of_sequence(params);
      const u32 first = candidate % blocks * kBlockQ;
      const bool is_there = candidate < num_candidates(params);
      return {candidate / blocks * params.next_n + first,
              is_there ? min(kBlockQ, params.next_n - first) : 0};
    }
  }

  __device__ static __forceinline__ u32 tiles_of(const Params& params, Block block) {
    u32 longest = 0;
#pragma unroll kRowsAtOnce
    for (u32 i = 0; i < kBlockQ; ++i) {
      // Past the end the last row again, which does not count.
      const u32 length = key_range(params, min(block.row + i, params.num_rows - 1)).count;
      longest = max(longest, i < block.num_rows ? length : 0);
    }
    return (longest + Traits::kBlockKv - 1) / Traits::kBlockKv;
  }

  // Returns how many tiles this CTA has, and writes where they begin. All threads call it.
  __device__ static __forceinline__ u32 place(const Params& params, Smem& smem) {
    const u32 all = num_candidates(params);
    const u32 share = (all + Traits::kNumThreads - 1) / Traits::kNumThreads;
    const u32 first = min(threadIdx.x * share, all);
    const u32 end = min(first + share, all);
    const Run run = run_before(params, smem, first, end);
    u32 own = 0;
    Run at = run;
#pragma unroll kBlocksAtOnce
    for (u32 i = first; i < end; ++i) own += tiles_at(params, i, at);
    u32 total;
    const u32 before = scan_before<Sum>(smem.warp_tiles, own, total);
    const u32 begin = share_of(total, blockIdx.x);
    if (begin >= before && begin - before < own) {
      u32 rest = begin - before;
      u32 candidate = first;
      at = run;
#pragma unroll 1
      for (u32 count; (count = tiles_at(params, candidate, at)) <= rest; ++candidate) rest -= count;
      smem.start = {candidate, rest};
    }
    __syncthreads();
    return share_of(total, blockIdx.x + 1) - begin;
  }

 private:
  __device__ static __forceinline__ u32 tiles_at(const Params& params, u32 candidate, Run& run) {
    enter_run(params, candidate, run);
    return tiles_of(params, block_at(params, candidate, run));
  }

  // The run that goes on in candidate `first`, this thread's, if none begins there.
  __device__ static __forceinline__ Run run_before(const Params& params, Smem& smem, u32 first,
                                                   u32 end) {
    if constexpr (kConfig.is_varlen) {
      u32 begin = 0;
#pragma unroll 4
      for (u32 row = first; row < end; ++row) begin = begins_run(params, row) ? row : begin;
      u32 last;
      return {scan_before<Maximum>(smem.warp_runs, begin, last)};
    } else {
      return {0};
    }
  }

  __device__ static __forceinline__ u32 share_of(u32 total, u32 cta) {
    return static_cast<u32>(static_cast<u64>(total) * cta / gridDim.x);
  }
};

}  // namespace jdg
