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

#define JDG_DEFINE_WGMMA_TF32(N)                                                        \
  namespace jdg::ptx {                                                                  \
  template <>                                                                           \
  __device__ __forceinline__ void wgmma_tf32<N>(float (&d)[N / 2], u64 a, u64 b,        \
                                                bool accumulate) {                      \
    u32 scale_d = accumulate;                                                           \
    asm volatile(                                                                       \
        "{\n"                                                                           \
        ".reg .pred p;\n"                                                               \
        "setp.ne.b32 p, %2, 0;\n"                                                       \
        "wgmma.mma_async.sync.aligned.m64n" #N "k8.f32.tf32.tf32 {" JDG_WGMMA_NAMES_##N \
        "}, %0, %1, p, 1, 1;\n"                                                         \
        "}"                                                                             \
        : "+l"(a), "+l"(b), "+r"(scale_d), JDG_WGMMA_OPERANDS_##N);                     \
  }                                                                                     \
  }
