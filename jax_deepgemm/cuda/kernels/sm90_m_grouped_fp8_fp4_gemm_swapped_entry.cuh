// The entry point of the Hopper M-grouped FP8 GEMM with FP4 weights and swapped operands.
#pragma once

#include "common/row_groups_parameters.cuh"
#include "kernels/sm90_m_grouped_fp8_fp4_gemm_swapped.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_m_grouped_fp8_fp4_gemm_swapped.py.
#define JDG_SM90_M_GROUPED_FP8_FP4_GEMM_SWAPPED_ENTRY(Kernel)                                  \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kCtasPerSm)        \
      sm90_m_grouped_fp8_fp4_gemm_swapped(                                                     \
          const __grid_constant__ jdg::ptx::TensorMap a,                                       \
          const __grid_constant__ jdg::ptx::TensorMap b,                                       \
          const __grid_constant__ jdg::ptx::TensorMap a_cut,                                   \
          const __grid_constant__ jdg::ptx::TensorMap b_cut, const float* scales,              \
          const jdg::u32* exponents, jdg::u32 scales_pitch, jdg::u32 n, jdg::u32 num_k_blocks, \
          jdg::u32 num_fp4_groups, jdg::u32 cut_k_block, jdg::u32 scatters_rows,               \
          JDG_ROW_GROUPS_PARAMETERS) {                                                         \
    jdg::Sm90MGroupedFp8Fp4GemmSwappedParams params{};                                         \
    params.a = &a;                                                                             \
    params.b = &b;                                                                             \
    params.exponents = exponents;                                                              \
    params.d = d_rows;                                                                         \
    params.n = n;                                                                              \
    params.pitch = pitch;                                                                      \
    params.num_k_blocks = num_k_blocks;                                                        \
    params.num_fp4_groups = num_fp4_groups;                                                    \
    params.cut = {&a_cut, &b_cut, cut_k_block};                                                \
    params.scales = scales;                                                                    \
    params.scales_pitch = scales_pitch;                                                        \
    params.grid = JDG_ROW_GROUPS_GRID;                                                         \
    params.groups = JDG_ROW_GROUPS;                                                            \
    params.d_rows = JDG_ROW_GROUPS_D_ROWS;                                                     \
    if (scatters_rows) params.row_addresses = reinterpret_cast<const jdg::u64*>(d_rows);       \
    Kernel::run(params);                                                                       \
  }
