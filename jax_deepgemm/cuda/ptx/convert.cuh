// Conversions between floating-point formats.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Two e4m3 codes, `low` in the lower byte, rounded to nearest even. What is beyond 448 becomes 448,
// a NaN 0x7F.
__device__ __forceinline__ u16 pack_e4m3(float low, float high) {
  u16 packed;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(packed) : "f"(high), "f"(low));
  return packed;
}

}  // namespace jdg::ptx
