// Scales of groups of FP4 codes: four exponents of a row and K block in a word.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

constexpr u32 kFp4Group = 32;  // Codes that have an exponent of their own.
constexpr u32 kNanExponent = 255;

__device__ __forceinline__ u32 fp4_exponent(u32 packed, int group) {
  return packed >> 8 * group & 0xFF;
}

// 2^(e - 127) for exponent e of group `group`, 0 for e = 0. Nothing of use for kNanExponent.
__device__ __forceinline__ float fp4_group_scale(u32 packed, int group) {
  constexpr u32 kExponent = 0x7F800000;
  const u32 bits = group < 3 ? packed << (23 - 8 * group) : packed >> 1;
  return __uint_as_float(bits & kExponent);
}

// Whether an exponent of a row was kNanExponent; looks at four at a time.
class Fp4Nans {
 public:
  __device__ __forceinline__ void include(u32 packed) {
    // Bits 7 of bytes: whether ~packed has a byte that is zero.
    found_ |= (0xFEFEFEFE - packed) & packed;
  }

  __device__ __forceinline__ bool any() const { return (found_ & 0x80808080) != 0; }

 private:
  u32 found_ = 0;
};

}  // namespace jdg
