// The entry point of the Hopper M-grouped FP8 GEMM: the kernel of sm90_fp8_gemm.cuh with groups of
// rows.
#pragma once

#include "common/row_groups_parameters.cuh"
#include "kernels/sm90_fp8_gemm.cuh"

// As JDG_SM90_FP8_GEMM_ENTRY; the order of the parameters is that of
// primitives/sm90_m_grouped_fp8_gemm.py.
#define JDG_SM90_M_GROUPED_FP8_GEMM_ENTRY(Kernel)                                               \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_m_grouped_fp8_gemm( \
      const __grid_constant__ jdg::ptx::TensorMap a,                                            \
      const __grid_constant__ jdg::ptx::TensorMap a_slab,                                       \
      const __grid_constant__ jdg::ptx::TensorMap b,                                            \
      const __grid_constant__ jdg::ptx::TensorMap b_rest,                                       \
      const __grid_constant__ jdg::ptx::TensorMap sfa,                                          \
      const __grid_constant__ jdg::ptx::TensorMap d,                                            \
      const __grid_constant__ jdg::ptx::TensorMap d_rest, const float* sfb_blocks,              \
      jdg::u32 num_k_blocks, jdg::u32 sfb_rows, JDG_ROW_GROUPS_PARAMETERS) {                    \
    Kernel::run({&a, &b, &b_rest, &sfa, nullptr, &d, &d_rest, sfb_blocks, nullptr, m, pitch,    \
                 num_k_blocks, sfb_rows, JDG_ROW_GROUPS_GRID, &a_slab, JDG_ROW_GROUPS,          \
                 JDG_ROW_GROUPS_D_ROWS});                                                       \
  }
