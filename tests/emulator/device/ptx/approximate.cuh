// Stands in for cuda/ptx/approximate.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ float zero_for_denormal(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}

__forceinline__ float exp2_approx(float x) { return zero_for_denormal(std::exp2(x)); }

__forceinline__ float reciprocal_approx(float x) {
  return zero_for_denormal(1.0f / zero_for_denormal(x));
}

}  // namespace jdg::ptx
