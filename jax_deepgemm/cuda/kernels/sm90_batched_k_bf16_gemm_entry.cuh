// The entry point of the Hopper BF16 GEMM over a K of many runs: kernel parameters to its Params.
#pragma once

#include "kernels/sm90_batched_k_bf16_gemm.cuh"

// A macro for the reasons in sm90_bf16_gemm_entry.cuh. The order of the parameters is that of
// primitives/sm90_batched_k_bf16_gemm.py.
#define JDG_SM90_BATCHED_K_BF16_GEMM_ENTRY(Kernel)                                               \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_batched_k_bf16_gemm( \
      const __grid_constant__ jdg::ptx::TensorMap a,                                             \
      const __grid_constant__ jdg::ptx::TensorMap b,                                             \
      const __grid_constant__ jdg::ptx::TensorMap d, const void* c, jdg::u32 m, jdg::u32 pitch,  \
      jdg::u32 run_k_blocks, jdg::u32 part_stages, jdg::u32 longer_parts, jdg::u32 num_m,        \
      jdg::u32 num_n, jdg::u32 num_parts, jdg::u32 raster_width) {                               \
    jdg::Sm90BatchedKBf16GemmParams params{};                                                    \
    params.a = &a;                                                                               \
    params.b = &b;                                                                               \
    params.d = &d;                                                                               \
    params.c = c;                                                                                \
    params.m = m;                                                                                \
    params.pitch = pitch;                                                                        \
    params.grid = {num_m, num_n, num_parts, raster_width};                                       \
    params.run_k_blocks = run_k_blocks;                                                          \
    params.part_stages = part_stages;                                                            \
    params.longer_parts = longer_parts;                                                          \
    Kernel::run(params);                                                                         \
  }
