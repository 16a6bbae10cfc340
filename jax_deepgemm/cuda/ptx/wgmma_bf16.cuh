// Warpgroup matrix multiply-accumulate on bfloat16 in shared memory.
//
// Both operands may be K-major or, with their transpose bit, MN-major. As in ptx/wgmma.cuh, a
// translation unit asks for what it needs: JDG_DEFINE_WGMMA_BF16(N, TRANSPOSE_A, TRANSPOSE_B) with
// literal numbers.
#pragma once

#include "ptx/wgmma.cuh"

namespace jdg::ptx {

// d = a * b (+ d if `accumulate`): 64 x 16 by 16 x N, float32 accumulators. An operand with its
// transpose bit is MN-major: rows of K hold consecutive M or N.
template <int kN, int kTransposeA, int kTransposeB>
__device__ void wgmma_bf16(float (&d)[kN / 2], u64 a, u64 b, bool accumulate);

}  // namespace jdg::ptx

#define JDG_DEFINE_WGMMA_BF16(N, TRANSPOSE_A, TRANSPOSE_B)                                   \
  namespace jdg::ptx {                                                                       \
  template <>                                                                                \
  __device__ __forceinline__ void wgmma_bf16<N, TRANSPOSE_A, TRANSPOSE_B>(float (&d)[N / 2], \
                                                                          u64 a, u64 b,      \
                                                                          bool accumulate) { \
    JDG_WGMMA_BODY(N, "k16.f32.bf16.bf16", ", " #TRANSPOSE_A ", " #TRANSPOSE_B)              \
  }                                                                                          \
  }
