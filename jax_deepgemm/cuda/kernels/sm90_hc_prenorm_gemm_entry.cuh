// The entry point of the Hopper kernel for a product with sums of squares.
#pragma once

#include "kernels/sm90_hc_prenorm_gemm.cuh"

// A macro for the reason given in kernels/sm90_bf16_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_hc_prenorm_gemm.py.
#define JDG_SM90_HC_PRENORM_GEMM_ENTRY(Kernel)                                                     \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kCtasPerSm)            \
      sm90_hc_prenorm_gemm(const __grid_constant__ jdg::ptx::TensorMap a,                          \
                           const __grid_constant__ jdg::ptx::TensorMap b, float* d,                \
                           float* sqr_sum, jdg::u32 m, jdg::u32 n, jdg::u32 num_k_blocks,          \
                           jdg::u32 num_m, jdg::u32 num_n, jdg::u32 num_groups,                    \
                           jdg::u32 num_partials) {                                                \
    Kernel::run({&a, &b, d, sqr_sum, m, n, num_k_blocks, num_m, num_n, num_groups, num_partials}); \
  }
