// Maxima of floating-point numbers.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// The greater of two; a NaN if one is. Half the rate of an addition.
__device__ __forceinline__ float max_or_nan(float x, float y) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(x), "f"(y));
  return result;
}

}  // namespace jdg::ptx
