// The entry point of the Hopper FP8 GEMM for few tiles.
#pragma once

#include "kernels/sm90_fp8_gemm_split.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_fp8_gemm_split.py.
#define JDG_SM90_FP8_GEMM_SPLIT_ENTRY(Kernel)                                                     \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kCtasPerSm)           \
      sm90_fp8_gemm_split(const __grid_constant__ jdg::ptx::TensorMap a,                          \
                          const __grid_constant__ jdg::ptx::TensorMap a_rest,                     \
                          const __grid_constant__ jdg::ptx::TensorMap b,                          \
                          const __grid_constant__ jdg::ptx::TensorMap a_cut,                      \
                          const __grid_constant__ jdg::ptx::TensorMap b_cut,                      \
                          const __grid_constant__ jdg::ptx::TensorMap sfa, const jdg::u32* sfb,   \
                          const void* c, void* d, jdg::u32 m, jdg::u32 rest_rows, jdg::u32 pitch, \
                          jdg::u32 num_k_blocks, jdg::u32 sfb_rows, jdg::u32 num_m,               \
                          jdg::u32 num_n, jdg::u32 cut_k_block, jdg::u32 group_lines,             \
                          jdg::u32 row_lines) {                                                   \
    Kernel::run({&a,                                                                              \
                 &a_rest,                                                                         \
                 &b,                                                                              \
                 &sfa,                                                                            \
                 sfb,                                                                             \
                 c,                                                                               \
                 d,                                                                               \
                 m,                                                                               \
                 rest_rows,                                                                       \
                 pitch,                                                                           \
                 num_k_blocks,                                                                    \
                 sfb_rows,                                                                        \
                 num_m,                                                                           \
                 num_n,                                                                           \
                 {&a_cut, &b_cut, cut_k_block},                                                   \
                 {group_lines, row_lines}});                                                      \
  }
