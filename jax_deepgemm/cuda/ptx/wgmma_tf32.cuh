// Warpgroup matrix multiply-accumulate on TF32 in shared memory: float32 of which the tensor cores
// read the upper 19 bits.
#pragma once

#include "ptx/wgmma.cuh"

namespace jdg::ptx {

// d = a * b (+ d if `accumulate`): 64 x 8 by 8 x N, K-major operands, float32 accumulators.
// Defined per N by JDG_DEFINE_WGMMA_TF32.
template <int kN>
__device__ void wgmma_tf32(float (&d)[kN / 2], u64 a, u64 b, bool accumulate);

}  // namespace jdg::ptx

#define JDG_DEFINE_WGMMA_TF32(N)                                                 \
  namespace jdg::ptx {                                                           \
  template <>                                                                    \
  __device__ __forceinline__ void wgmma_tf32<N>(float (&d)[N / 2], u64 a, u64 b, \
                                                bool accumulate) {               \
    JDG_WGMMA_BODY(N, "k8.f32.tf32.tf32", "")                                    \
  }                                                                              \
  }
