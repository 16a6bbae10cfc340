// The entry point of the Hopper BF16 GEMM with swapped operands.
#pragma once

#include "kernels/sm90_bf16_gemm_swapped.cuh"

// A macro for the reason given in kernels/sm90_bf16_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_bf16_gemm_swapped.py.
#define JDG_SM90_BF16_GEMM_SWAPPED_ENTRY(Kernel)                                               \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kCtasPerSm)        \
      sm90_bf16_gemm_swapped(const __grid_constant__ jdg::ptx::TensorMap a,                    \
                             const __grid_constant__ jdg::ptx::TensorMap b,                    \
                             const __grid_constant__ jdg::ptx::TensorMap a_cut,                \
                             const __grid_constant__ jdg::ptx::TensorMap b_cut, const void* c, \
                             void* d, jdg::u32 m, jdg::u32 pitch, jdg::u32 num_k_blocks,       \
                             jdg::u32 num_n, jdg::u32 cut_k_block, jdg::u32 group_lines,       \
                             jdg::u32 row_lines) {                                             \
    Kernel::run({&a,                                                                           \
                 &b,                                                                           \
                 c,                                                                            \
                 d,                                                                            \
                 m,                                                                            \
                 pitch,                                                                        \
                 num_k_blocks,                                                                 \
                 num_n,                                                                        \
                 {&a_cut, &b_cut, cut_k_block},                                                \
                 {group_lines, row_lines}});                                                   \
  }
