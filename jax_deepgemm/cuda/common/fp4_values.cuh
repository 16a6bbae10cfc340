// Eight neighbours of a row as e2m1: encoded, and stored two in a byte.
#pragma once

#include "common/block_scale.cuh"
#include "common/cast_values.cuh"
#include "ptx/types.cuh"

namespace jdg {

// The scale of a block whose largest magnitude has these bits: a sixth of it up to a power of two,
// as in scale_of_block, without its divisions. A sixth of m * 2^e is m / 1.5 * 2^(e - 2), which is
// above 2^(e - 2) for m > 1.5, rounded or not.
__device__ __forceinline__ BlockScale e2m1_scale_of_block(u32 amax) {
  constexpr u32 kExponent = 0x7F800000;
  constexpr u32 kOne = 127u << 23;
  if (amax >= kExponent) return {__uint_as_float(kExponent), 0.0f};
  const u32 scale = ((max(amax, kSmallestAmax) + 0x3FFFFF) & kExponent) - (2u << 23);
  return {__uint_as_float(scale), __uint_as_float(2 * kOne - scale)};
}

// Codes of eight values, each multiplied with `factor`, the first in the lowest four bits. Rounds
// to nearest, ties towards zero; no code is -0. Products are at most about 6, and none is a NaN.
template <bool kFloat32>
__device__ __forceinline__ u32 encode_e2m1(const Eight<kFloat32>& x, float factor) {
  u32 codes = 0;
#pragma unroll
  for (int i = 7; i >= 0; --i) {
    const float y = __fmul_rn(x.value(i), factor);
    // Times 2^-126, e2m1's smallest normal number is float32's, and its denormal 0.5 one of
    // float32's: a magnitude's code is its bits from 22 on, once it is rounded there. What is lost
    // to denormals is rounded up, and so stays above a tie.
    const u32 magnitude = __float_as_uint(__fmul_ru(fabsf(y), 0x1p-126f));
    // Bits 22 to 24 go up to 28 to 30, below the sign. The addend carries above a tie only.
    const u32 code = magnitude * 64 + (0x1FFFFF << 6);
    codes = __funnelshift_l(code | (__float_as_uint(y) & 0x80000000), codes, 4);
  }
  const u32 is_not_zero = (codes | codes >> 1 | codes >> 2) & 0x11111111;
  return codes & (is_not_zero << 3 | 0x77777777);
}

// Stores the first `count` of eight codes, an even number, from code `first` on. With kAligned,
// `count` is 0 or 8 and `first` a multiple of 8.
template <bool kAligned>
__device__ __forceinline__ void store_eight_e2m1(u8* values, u64 first, u32 count, u32 codes) {
  if constexpr (kAligned) {
    if (count != 0) *reinterpret_cast<u32*>(values + first / 2) = codes;
  } else {
#pragma unroll
    for (u32 i = 0; i < 4; ++i) {
      if (i * 2 < count) values[first / 2 + i] = static_cast<u8>(codes >> i * 8);
    }
  }
}

}  // namespace jdg
