// The entry point of the Hopper K-grouped FP8 GEMM: kernel parameters to its Params.
#pragma once

#include "kernels/sm90_k_grouped_fp8_gemm.cuh"

// A macro for the reasons in sm90_fp8_gemm_entry.cuh. The order of the parameters is that of
// primitives/sm90_k_grouped_fp8_gemm.py.
#define JDG_SM90_K_GROUPED_FP8_GEMM_ENTRY(Kernel)                                                \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_k_grouped_fp8_gemm(  \
      const __grid_constant__ jdg::ptx::TensorMap a,                                             \
      const __grid_constant__ jdg::ptx::TensorMap b,                                             \
      const __grid_constant__ jdg::ptx::TensorMap sfa,                                           \
      const __grid_constant__ jdg::ptx::TensorMap sfb,                                           \
      const __grid_constant__ jdg::ptx::TensorMap d, const int* group_sizes, jdg::u32 num_parts, \
      jdg::u32 num_k_blocks, jdg::u32 num_m, jdg::u32 num_n, jdg::u32 num_groups,                \
      jdg::u32 raster_width) {                                                                   \
    jdg::Sm90KGroupedFp8GemmParams params{};                                                     \
    params.a = &a;                                                                               \
    params.b = &b;                                                                               \
    params.sfa = &sfa;                                                                           \
    params.sfb = &sfb;                                                                           \
    params.d = &d;                                                                               \
    params.group_sizes = group_sizes;                                                            \
    params.num_parts = num_parts;                                                                \
    params.num_k_blocks = num_k_blocks;                                                          \
    params.grid = {num_m, num_n, num_groups, raster_width};                                      \
    Kernel::run(params);                                                                         \
  }
