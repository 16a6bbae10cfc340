// How many rows belong to groups whose sizes only the device knows.
#pragma once

#include "ptx/types.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// Returns the sum of the sizes, at most num_rows < 2^31: negative ones count as 0, and what reaches
// past the last row is cut. A whole warp must call it.
__device__ __forceinline__ u32 rows_of_groups(const int* sizes, u32 num_groups, u32 num_rows) {
  u32 sum = 0;
  for (u32 group = threadIdx.x % 32; group < num_groups; group += 32) {
    const int size = sizes[group];
    // Two numbers below 2^31 do not overflow.
    sum = min(sum + (size > 0 ? min(static_cast<u32>(size), num_rows) : 0), num_rows);
  }
#pragma unroll
  for (u32 mask = 16; mask > 0; mask /= 2) sum = min(sum + ptx::shuffle_xor(sum, mask), num_rows);
  return sum;
}

}  // namespace jdg
