// What the threads before one have, over a whole block.
#pragma once

#include "ptx/warp.cuh"

namespace jdg {

struct Sum {
  __device__ static __forceinline__ u32 of(u32 x, u32 y) { return x + y; }
};

struct Maximum {
  __device__ static __forceinline__ u32 of(u32 x, u32 y) { return max(x, y); }
};

// Returns the sum or maximum of `own` over the threads before this one, 0 for the first; `total` is
// that over all. All threads call it, with a `warp_values` that was not used before.
template <typename Operation, int kNumWarps>
__device__ __forceinline__ u32 scan_before(u32 (&warp_values)[kNumWarps], u32 own, u32& total) {
  const u32 lane = threadIdx.x % 32;
  const u32 warp = threadIdx.x / 32;
  u32 value = own;
#pragma unroll
  for (u32 distance = 1; distance < 32; distance *= 2) {
    const u32 other = ptx::shuffle(value, lane - distance);
    if (lane >= distance) value = Operation::of(value, other);
  }
  if (lane == 31) warp_values[warp] = value;
  const u32 previous = ptx::shuffle(value, lane - 1);
  __syncthreads();
  u32 before = lane == 0 ? 0 : previous;
  total = 0;
#pragma unroll
  for (u32 i = 0; i < kNumWarps; ++i) {
    if (i < warp) before = Operation::of(before, warp_values[i]);
    total = Operation::of(total, warp_values[i]);
  }
  return before;
}

}  // namespace jdg
