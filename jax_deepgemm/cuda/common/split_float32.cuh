// float32 as the sum of two bfloat16, for a product on the BF16 tensor cores.
//
// The leading 8 bits, cut off, and the next 8, rounded: 16 bits of 24. Cut off and not rounded,
// because the largest float32 would round to infinity. An infinity is its own leading part; the
// rest, which would be NaN, is zero.
#pragma once

#include "ptx/copy.cuh"
#include "ptx/permute.cuh"

namespace jdg {

// What is left of x without its leading 8 bits.
__device__ __forceinline__ float trailing_part(float x) {
  const float leading = __uint_as_float(__float_as_uint(x) & 0xFFFF0000u);
  return x == leading ? 0.0f : x - leading;
}

// The leading parts of two numbers, `x` in the lower half.
__device__ __forceinline__ u32 leading_parts(float x, float y) {
  return ptx::permute_bytes(__float_as_uint(x), __float_as_uint(y), 0x7632);
}

// The trailing parts of two numbers, as bfloat16.
__device__ __forceinline__ u32 trailing_parts(float x, float y) {
  return ptx::pack_bfloat16(trailing_part(x), trailing_part(y));
}

// Eight numbers and their parts.
__device__ __forceinline__ uint4 leading_parts(const float4& x, const float4& y) {
  return {leading_parts(x.x, x.y), leading_parts(x.z, x.w), leading_parts(y.x, y.y),
          leading_parts(y.z, y.w)};
}

__device__ __forceinline__ uint4 trailing_parts(const float4& x, const float4& y) {
  return {trailing_parts(x.x, x.y), trailing_parts(x.z, x.w), trailing_parts(y.x, y.y),
          trailing_parts(y.z, y.w)};
}

}  // namespace jdg
