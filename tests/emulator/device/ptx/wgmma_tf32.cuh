// Stands in for cuda/ptx/wgmma_tf32.cuh.
#pragma once

#include "ptx/wgmma.cuh"

namespace jdg::ptx {

template <int kN>
void wgmma_tf32(float (&d)[kN / 2], u64 a, u64 b, bool accumulate);

}  // namespace jdg::ptx

#define JDG_DEFINE_WGMMA_TF32(N)                                                         \
  namespace jdg::ptx {                                                                   \
  template <>                                                                            \
  __forceinline__ void wgmma_tf32<N>(float (&d)[N / 2], u64 a, u64 b, bool accumulate) { \
    start_product<N>(emu::MmaType::kTf32, d, {a}, {b}, accumulate);                      \
  }                                                                                      \
  }
