// The entry point of the Hopper K-grouped BF16 GEMM: kernel parameters to its Params.
#pragma once

#include "kernels/sm90_k_grouped_bf16_gemm.cuh"

// A macro for the reasons in sm90_bf16_gemm_entry.cuh. The order of the parameters is that of
// primitives/sm90_k_grouped_bf16_gemm.py.
#define JDG_SM90_K_GROUPED_BF16_GEMM_ENTRY(Kernel)                                                \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_k_grouped_bf16_gemm(  \
      const __grid_constant__ jdg::ptx::TensorMap a,                                              \
      const __grid_constant__ jdg::ptx::TensorMap b,                                              \
      const __grid_constant__ jdg::ptx::TensorMap d, const int* group_starts,                     \
      const int* group_sizes, jdg::u32 num_parts, jdg::u32 num_k, jdg::u32 num_m, jdg::u32 num_n, \
      jdg::u32 num_groups, jdg::u32 raster_width) {                                               \
    jdg::Sm90KGroupedBf16GemmParams params{};                                                     \
    params.a = &a;                                                                                \
    params.b = &b;                                                                                \
    params.d = &d;                                                                                \
    params.group_starts = group_starts;                                                           \
    params.group_sizes = group_sizes;                                                             \
    params.num_parts = num_parts;                                                                 \
    params.num_k = num_k;                                                                         \
    params.grid = {num_m, num_n, num_groups, raster_width};                                       \
    Kernel::run(params);                                                                          \
  }
