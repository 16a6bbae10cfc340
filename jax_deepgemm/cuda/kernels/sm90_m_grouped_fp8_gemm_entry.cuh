// The entry point of the Hopper M-grouped FP8 GEMM: the kernel of sm90_fp8_gemm.cuh with groups of
// rows.
#pragma once

#include "kernels/sm90_fp8_gemm.cuh"

// As JDG_SM90_FP8_GEMM_ENTRY; the order of the parameters is that of
// primitives/sm90_m_grouped_fp8_gemm.py.
#define JDG_SM90_M_GROUPED_FP8_GEMM_ENTRY(Kernel)                                                 \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_m_grouped_fp8_gemm(   \
      const __grid_constant__ jdg::ptx::TensorMap a,                                              \
      const __grid_constant__ jdg::ptx::TensorMap a_slab,                                         \
      const __grid_constant__ jdg::ptx::TensorMap b,                                              \
      const __grid_constant__ jdg::ptx::TensorMap b_rest,                                         \
      const __grid_constant__ jdg::ptx::TensorMap sfa,                                            \
      const __grid_constant__ jdg::ptx::TensorMap d,                                              \
      const __grid_constant__ jdg::ptx::TensorMap d_rest, const float* sfb_blocks, uint4* d_rows, \
      const int* group_numbers, const int* row_ids, jdg::u32 layout, jdg::u32 alignment,          \
      jdg::u32 fills, jdg::u32 m, jdg::u32 pitch, jdg::u32 words_per_row, jdg::u32 num_k_blocks,  \
      jdg::u32 sfb_rows, jdg::u32 num_n, jdg::u32 num_groups, jdg::u32 raster_width) {            \
    Kernel::run({&a,                                                                              \
                 &b,                                                                              \
                 &b_rest,                                                                         \
                 &sfa,                                                                            \
                 nullptr,                                                                         \
                 &d,                                                                              \
                 &d_rest,                                                                         \
                 sfb_blocks,                                                                      \
                 nullptr,                                                                         \
                 m,                                                                               \
                 pitch,                                                                           \
                 num_k_blocks,                                                                    \
                 sfb_rows,                                                                        \
                 {0, num_n, num_groups, raster_width},                                            \
                 &a_slab,                                                                         \
                 {group_numbers, row_ids, static_cast<jdg::GroupLayout>(layout), num_groups, m,   \
                  alignment, fills != 0},                                                         \
                 {d_rows, words_per_row}});                                                       \
  }
