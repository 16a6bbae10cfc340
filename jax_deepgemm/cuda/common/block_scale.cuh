// The scale of a block of values, as block_scale.py defines it.
#pragma once

#include "ptx/types.cuh"
#include "ptx/warp.cuh"

namespace jdg {

struct BlockScale {
  float scale;
  float inverse;  // What values are multiplied with.
};

constexpr u32 kSmallestAmax = 0x38D1B717;  // 1e-4.

// Takes the bits of the block's largest magnitude. As integers, magnitudes are in the order of
// their values, infinity is above all numbers and a NaN above infinity: no maximum can lose it.
// kLargestCode is 448 for e4m3 and 6 for e2m1.
template <bool kUe8m0, int kLargestCode = 448>
__device__ __forceinline__ BlockScale scale_of_block(u32 amax) {
  constexpr u32 kInfinity = 0x7F800000;
  constexpr u32 kMantissa = 0x007FFFFF;
  float scale =
      __fdiv_rn(__uint_as_float(max(amax, kSmallestAmax)), static_cast<float>(kLargestCode));
  if constexpr (kUe8m0) {
    // Up to a power of two. 1e-4 / 448 to FLT_MAX / 6 are far from the ends of the exponents.
    scale = __uint_as_float((__float_as_uint(scale) + kMantissa) & kInfinity);
  }
  if (amax >= kInfinity) scale = __uint_as_float(kUe8m0 ? kInfinity : amax);
  return {scale, __fdiv_rn(1.0f, scale)};
}

// Returns the maximum over the 2, 4, ..., kLanes lanes whose indices differ in bits from kFirst on.
template <u32 kLanes, u32 kFirst = 1>
__device__ __forceinline__ u32 max_of_lanes(u32 value) {
#pragma unroll
  for (u32 mask = kFirst; mask < kLanes * kFirst; mask *= 2) {
    value = max(value, ptx::shuffle_xor(value, mask));
  }
  return value;
}

}  // namespace jdg
