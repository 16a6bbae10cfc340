// Fast functions of the special function unit, not correctly rounded.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// 2^x with a relative error below 2^-22. Denormal results are 0, those beyond FLT_MAX infinity.
__device__ __forceinline__ float exp2_approx(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// 1 / x with an error of one unit in the last place. Denormal results are 0.
__device__ __forceinline__ float reciprocal_approx(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

}  // namespace jdg::ptx
