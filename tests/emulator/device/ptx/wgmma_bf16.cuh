// Stands in for cuda/ptx/wgmma_bf16.cuh.
#pragma once

#include "ptx/wgmma.cuh"

namespace jdg::ptx {

template <int kN, int kTransposeA, int kTransposeB>
void wgmma_bf16(float (&d)[kN / 2], u64 a, u64 b, bool accumulate);

}  // namespace jdg::ptx

#define JDG_DEFINE_WGMMA_BF16(N, TRANSPOSE_A, TRANSPOSE_B)                                      \
  namespace jdg::ptx {                                                                          \
  template <>                                                                                   \
  __forceinline__ void wgmma_bf16<N, TRANSPOSE_A, TRANSPOSE_B>(float (&d)[N / 2], u64 a, u64 b, \
                                                               bool accumulate) {               \
    start_product<N>(emu::MmaType::kBf16, d, {a, TRANSPOSE_A}, {b, TRANSPOSE_B}, accumulate);   \
  }                                                                                             \
  }
