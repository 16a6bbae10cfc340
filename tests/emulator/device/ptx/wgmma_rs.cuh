// Stands in for cuda/ptx/wgmma_rs.cuh.
#pragma once

#include "ptx/wgmma.cuh"

namespace jdg::ptx {

template <int kCount>
__forceinline__ void fence_registers(u32 (&)[kCount]) {}

template <int kN>
void wgmma_e4m3_rs(float (&d)[kN / 2], u32 (&a)[4], u64 b, bool accumulate);

template <int kN, int kTransposeB>
void wgmma_bf16_rs(float (&d)[kN / 2], u32 (&a)[4], u64 b, bool accumulate);

template <int kN>
void wgmma_tf32_rs(float (&d)[kN / 2], u32 (&a)[4], u64 b, bool accumulate);

}  // namespace jdg::ptx

#define JDG_DEFINE_WGMMA_E4M3_RS(N)                                                               \
  namespace jdg::ptx {                                                                            \
  template <>                                                                                     \
  __forceinline__ void wgmma_e4m3_rs<N>(float (&d)[N / 2], u32 (&a)[4], u64 b, bool accumulate) { \
    start_product<N>(emu::MmaType::kE4m3, d, {0, false, a}, {b}, accumulate);                     \
  }                                                                                               \
  }

#define JDG_DEFINE_WGMMA_BF16_RS(N, TRANSPOSE_B)                                            \
  namespace jdg::ptx {                                                                      \
  template <>                                                                               \
  __forceinline__ void wgmma_bf16_rs<N, TRANSPOSE_B>(float (&d)[N / 2], u32 (&a)[4], u64 b, \
                                                     bool accumulate) {                     \
    start_product<N>(emu::MmaType::kBf16, d, {0, false, a}, {b, TRANSPOSE_B}, accumulate);  \
  }                                                                                         \
  }

#define JDG_DEFINE_WGMMA_TF32_RS(N)                                                               \
  namespace jdg::ptx {                                                                            \
  template <>                                                                                     \
  __forceinline__ void wgmma_tf32_rs<N>(float (&d)[N / 2], u32 (&a)[4], u64 b, bool accumulate) { \
    start_product<N>(emu::MmaType::kTf32, d, {0, false, a}, {b}, accumulate);                     \
  }                                                                                               \
  }
