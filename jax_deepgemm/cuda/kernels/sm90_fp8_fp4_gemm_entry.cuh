// The entry point of the Hopper FP8 GEMM with FP4 weights: kernel parameters to its Params.
#pragma once

#include "kernels/sm90_fp8_gemm.cuh"

// A macro for the reasons in sm90_fp8_gemm_entry.cuh. The order of the parameters is that of
// primitives/sm90_fp8_fp4_gemm.py.
#define JDG_SM90_FP8_FP4_GEMM_ENTRY(Kernel)                                                    \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_fp8_fp4_gemm(      \
      const __grid_constant__ jdg::ptx::TensorMap a,                                           \
      const __grid_constant__ jdg::ptx::TensorMap a_rest,                                      \
      const __grid_constant__ jdg::ptx::TensorMap b,                                           \
      const __grid_constant__ jdg::ptx::TensorMap sfa,                                         \
      const __grid_constant__ jdg::ptx::TensorMap d, const jdg::u32* exponents, const void* c, \
      jdg::u32 m, jdg::u32 n, jdg::u32 pitch, jdg::u32 num_k_blocks, jdg::u32 num_fp4_groups,  \
      jdg::u32 num_m, jdg::u32 num_n, jdg::u32 num_groups, jdg::u32 raster_width) {            \
    jdg::Sm90Fp8Fp4GemmParams params{};                                                        \
    params.a = &a;                                                                             \
    params.a_rest = &a_rest;                                                                   \
    params.b = &b;                                                                             \
    params.sfa = &sfa;                                                                         \
    params.d = &d;                                                                             \
    params.c = c;                                                                              \
    params.m = m;                                                                              \
    params.pitch = pitch;                                                                      \
    params.num_k_blocks = num_k_blocks;                                                        \
    params.sfb_rows = n;                                                                       \
    params.grid = {num_m, num_n, num_groups, raster_width};                                    \
    params.exponents = exponents;                                                              \
    params.num_fp4_groups = num_fp4_groups;                                                    \
    Kernel::run(params);                                                                       \
  }
