// Sorts candidates in shared memory, the largest first: a bitonic network.
#pragma once

#include "kernels/sm90_row_topk_types.cuh"

namespace jdg {

template <Sm90RowTopkConfig kConfig>
struct Sm90RowTopkSort {
  using Traits = Sm90RowTopkTraits<kConfig>;
  using Smem = typename Traits::Smem;
  static constexpr u32 kNumThreads = Traits::kNumThreads;

  // Sorts `count` candidates; the next power of two of them fit. All threads call it, when nobody
  // reads what is behind them any more, and find the result.
  __device__ static __forceinline__ void descending(Smem& smem, u32 count) {
    const u32 size = count <= 1 ? 1 : 1u << (32 - __clz(count - 1));
    for (u32 i = count + threadIdx.x; i < size; i += kNumThreads) smem.candidates[i] = 0;
    __syncthreads();
#pragma unroll 1
    for (u32 run = 2; run <= size; run *= 2) {
#pragma unroll 1
      for (u32 distance = run / 2; distance > 0; distance /= 2) {
        exchange(smem, size, run, distance);
        // Of the next exchange: a warp has 64 neighbours to itself.
        const u32 next = distance == 1 ? run : distance / 2;
        if (max(distance, next) > 32) {
          __syncthreads();
        } else {
          __syncwarp();
        }
      }
    }
    __syncthreads();
  }

 private:
  // Puts pairs at `distance` in order; that of runs alternates.
  __device__ static __forceinline__ void exchange(Smem& smem, u32 size, u32 run, u32 distance) {
#pragma unroll 2
    for (u32 pair = threadIdx.x; pair < size / 2; pair += kNumThreads) {
      const u32 i = 2 * pair - (pair & (distance - 1));
      Candidate& first = smem.candidates[i];
      Candidate& second = smem.candidates[i + distance];
      const Candidate x = first;
      const Candidate y = second;
      const bool is_descending = (i & run) == 0;
      if ((x < y) == is_descending) {
        first = y;
        second = x;
      }
    }
  }
};

}  // namespace jdg
