// The entry point of the Hopper FP8 GEMM with swapped operands.
#pragma once

#include "kernels/sm90_fp8_gemm_swapped.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_fp8_gemm_swapped.py.
#define JDG_SM90_FP8_GEMM_SWAPPED_ENTRY(Kernel)                                             \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kCtasPerSm)     \
      sm90_fp8_gemm_swapped(const __grid_constant__ jdg::ptx::TensorMap a,                  \
                            const __grid_constant__ jdg::ptx::TensorMap b,                  \
                            const __grid_constant__ jdg::ptx::TensorMap a_cut,              \
                            const __grid_constant__ jdg::ptx::TensorMap b_cut,              \
                            const __grid_constant__ jdg::ptx::TensorMap sfa,                \
                            const __grid_constant__ jdg::ptx::TensorMap sfb,                \
                            const jdg::u32* sfb_blocks, const void* c, void* d, jdg::u32 m, \
                            jdg::u32 pitch, jdg::u32 num_k_blocks, jdg::u32 sfb_rows,       \
                            jdg::u32 num_n, jdg::u32 cut_k_block, jdg::u32 group_lines,     \
                            jdg::u32 row_lines) {                                           \
    Kernel::run({&a,                                                                        \
                 &b,                                                                        \
                 &sfa,                                                                      \
                 &sfb,                                                                      \
                 sfb_blocks,                                                                \
                 c,                                                                         \
                 d,                                                                         \
                 m,                                                                         \
                 pitch,                                                                     \
                 num_k_blocks,                                                              \
                 sfb_rows,                                                                  \
                 num_n,                                                                     \
                 {&a_cut, &b_cut, cut_k_block},                                             \
                 {group_lines, row_lines}});                                                \
  }
