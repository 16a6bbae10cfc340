// silu(gate) * up, plain or clamped and weighted, and its gradient, for eight values at a time.
//
// In float32; what is rounded to bfloat16 is the result alone. The fast sigmoid has a relative
// error of about 2^-20, mostly that of x * log2(e), which grows with |x|; the other one of 2^-22 at
// most.
#pragma once

#include "common/cast_values.cuh"
#include "ptx/approximate.cuh"

namespace jdg {

// 0 below about -88, where exp(-x) is infinite.
template <bool kFastMath = true>
__device__ __forceinline__ float sigmoid(float x) {
  if constexpr (kFastMath) {
    constexpr float kLog2OfE = 1.44269504f;
    return ptx::reciprocal_approx(1.0f + ptx::exp2_approx(x * -kLog2OfE));
  } else {
    return __frcp_rn(1.0f + expf(-x));
  }
}

template <bool kFloat32>
__device__ __forceinline__ Eight<kFloat32> swiglu(const Eight<kFloat32>& gate,
                                                  const Eight<kFloat32>& up) {
  float y[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float g = gate.value(i);
    y[i] = g * sigmoid(g) * up.value(i);
  }
  return eight_of<kFloat32>(y);
}

// Returns silu(min(gate, clamp)) * clip(up, -clamp, clamp) * weight; what is NaN stays so.
template <bool kFastMath, bool kFloat32>
__device__ __forceinline__ Eight<kFloat32> weighted_swiglu(const Eight<kFloat32>& gate,
                                                           const Eight<kFloat32>& up, float clamp,
                                                           float weight) {
  float y[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float g = gate.value(i) > clamp ? clamp : gate.value(i);
    const float below = up.value(i) > clamp ? clamp : up.value(i);
    const float u = below < -clamp ? -clamp : below;
    y[i] = g * sigmoid<kFastMath>(g) * u * weight;
  }
  return eight_of<kFloat32>(y);
}

template <bool kFloat32>
struct GateAndUp {
  Eight<kFloat32> gate;
  Eight<kFloat32> up;
};

// Returns dy times the derivatives: up * s * (1 + gate * (1 - s)) with s = sigmoid(gate), and
// gate * s.
template <bool kFloat32>
__device__ __forceinline__ GateAndUp<kFloat32> swiglu_gradient(const Eight<kFloat32>& gate,
                                                               const Eight<kFloat32>& up,
                                                               const Eight<kFloat32>& dy) {
  float to_gate[8];
  float to_up[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float g = gate.value(i);
    const float s = sigmoid(g);
    const float dy_s = dy.value(i) * s;
    to_gate[i] = dy_s * up.value(i) * (1.0f + g * (1.0f - s));
    to_up[i] = dy_s * g;
  }
  return {eight_of<kFloat32>(to_gate), eight_of<kFloat32>(to_up)};
}

}  // namespace jdg
