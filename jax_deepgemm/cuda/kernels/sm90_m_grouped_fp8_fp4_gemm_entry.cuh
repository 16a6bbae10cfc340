// The entry point of the Hopper M-grouped FP8 GEMM with FP4 weights: the kernel of
// sm90_fp8_gemm.cuh with groups of rows and a warpgroup that decodes.
#pragma once

#include "common/row_groups_parameters.cuh"
#include "kernels/sm90_fp8_gemm.cuh"

// As JDG_SM90_FP8_FP4_GEMM_ENTRY; the order of the parameters is that of
// primitives/sm90_m_grouped_fp8_fp4_gemm.py.
#define JDG_SM90_M_GROUPED_FP8_FP4_GEMM_ENTRY(Kernel)                                           \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1)                          \
      sm90_m_grouped_fp8_fp4_gemm(const __grid_constant__ jdg::ptx::TensorMap a,                \
                                  const __grid_constant__ jdg::ptx::TensorMap a_slab,           \
                                  const __grid_constant__ jdg::ptx::TensorMap b,                \
                                  const __grid_constant__ jdg::ptx::TensorMap sfa,              \
                                  const __grid_constant__ jdg::ptx::TensorMap d,                \
                                  const jdg::u32* exponents, jdg::u32 n, jdg::u32 num_k_blocks, \
                                  jdg::u32 num_fp4_groups, JDG_ROW_GROUPS_PARAMETERS) {         \
    jdg::Sm90Fp8Fp4GemmParams params{};                                                         \
    params.a = &a;                                                                              \
    params.a_slab = &a_slab;                                                                    \
    params.b = &b;                                                                              \
    params.sfa = &sfa;                                                                          \
    params.d = &d;                                                                              \
    params.m = m;                                                                               \
    params.pitch = pitch;                                                                       \
    params.num_k_blocks = num_k_blocks;                                                         \
    params.sfb_rows = n;                                                                        \
    params.grid = JDG_ROW_GROUPS_GRID;                                                          \
    params.groups = JDG_ROW_GROUPS;                                                             \
    params.d_rows = JDG_ROW_GROUPS_D_ROWS;                                                      \
    params.exponents = exponents;                                                               \
    params.num_fp4_groups = num_fp4_groups;                                                     \
    Kernel::run(params);                                                                        \
  }
