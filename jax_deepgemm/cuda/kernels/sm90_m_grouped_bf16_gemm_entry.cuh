// The entry point of the Hopper M-grouped BF16 GEMM: the kernel of sm90_bf16_gemm.cuh with groups
// of rows.
#pragma once

#include "common/row_groups_parameters.cuh"
#include "kernels/sm90_bf16_gemm.cuh"

// As JDG_SM90_BF16_GEMM_ENTRY; the order of the parameters is that of
// primitives/sm90_m_grouped_bf16_gemm.py.
#define JDG_SM90_M_GROUPED_BF16_GEMM_ENTRY(Kernel)                                          \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1)                      \
      sm90_m_grouped_bf16_gemm(const __grid_constant__ jdg::ptx::TensorMap a,               \
                               const __grid_constant__ jdg::ptx::TensorMap a_slab,          \
                               const __grid_constant__ jdg::ptx::TensorMap b,               \
                               const __grid_constant__ jdg::ptx::TensorMap d,               \
                               jdg::u32 num_k_blocks, JDG_ROW_GROUPS_PARAMETERS) {          \
    Kernel::run({&a, &b, &d, nullptr, m, pitch, num_k_blocks, JDG_ROW_GROUPS_GRID, &a_slab, \
                 JDG_ROW_GROUPS, JDG_ROW_GROUPS_D_ROWS});                                   \
  }
