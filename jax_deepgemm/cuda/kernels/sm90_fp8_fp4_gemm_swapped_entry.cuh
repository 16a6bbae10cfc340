// The entry point of the Hopper FP8 GEMM with FP4 weights and swapped operands.
#pragma once

#include "kernels/sm90_fp8_fp4_gemm_swapped.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_fp8_fp4_gemm_swapped.py.
#define JDG_SM90_FP8_FP4_GEMM_SWAPPED_ENTRY(Kernel)                                              \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kCtasPerSm)          \
      sm90_fp8_fp4_gemm_swapped(const __grid_constant__ jdg::ptx::TensorMap a,                   \
                                const __grid_constant__ jdg::ptx::TensorMap b,                   \
                                const __grid_constant__ jdg::ptx::TensorMap a_cut,               \
                                const __grid_constant__ jdg::ptx::TensorMap b_cut,               \
                                const __grid_constant__ jdg::ptx::TensorMap sfa,                 \
                                const jdg::u32* exponents, const void* c, void* d, jdg::u32 m,   \
                                jdg::u32 n, jdg::u32 pitch, jdg::u32 num_k_blocks,               \
                                jdg::u32 num_fp4_groups, jdg::u32 num_n, jdg::u32 cut_k_block) { \
    Kernel::run({&a,                                                                             \
                 &b,                                                                             \
                 &sfa,                                                                           \
                 exponents,                                                                      \
                 c,                                                                              \
                 d,                                                                              \
                 m,                                                                              \
                 n,                                                                              \
                 pitch,                                                                          \
                 num_k_blocks,                                                                   \
                 num_fp4_groups,                                                                 \
                 num_n,                                                                          \
                 {&a_cut, &b_cut, cut_k_block},                                                  \
                 {m, 1}});                                                                       \
  }
