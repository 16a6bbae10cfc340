// The entry point of the Hopper FP8 GEMM: kernel parameters to Sm90Fp8GemmParams.
#pragma once

#include "kernels/sm90_fp8_gemm.cuh"

// A macro because only the translation unit that fixes the configuration can hold it: tensor maps
// must be parameters of a __global__ function, which is then found by this name. The order of the
// parameters is that of primitives/sm90_fp8_gemm.py.
#define JDG_SM90_FP8_GEMM_ENTRY(Kernel)                                                           \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_fp8_gemm(             \
      const __grid_constant__ jdg::ptx::TensorMap a,                                              \
      const __grid_constant__ jdg::ptx::TensorMap a_rest,                                         \
      const __grid_constant__ jdg::ptx::TensorMap b,                                              \
      const __grid_constant__ jdg::ptx::TensorMap b_rest,                                         \
      const __grid_constant__ jdg::ptx::TensorMap a_cut,                                          \
      const __grid_constant__ jdg::ptx::TensorMap b_cut,                                          \
      const __grid_constant__ jdg::ptx::TensorMap sfa,                                            \
      const __grid_constant__ jdg::ptx::TensorMap sfb,                                            \
      const __grid_constant__ jdg::ptx::TensorMap d,                                              \
      const __grid_constant__ jdg::ptx::TensorMap d_rest, const float* sfb_blocks, const void* c, \
      jdg::u32 m, jdg::u32 pitch, jdg::u32 num_k_blocks, jdg::u32 sfb_rows, jdg::u32 num_m,       \
      jdg::u32 num_n, jdg::u32 num_groups, jdg::u32 raster_width, jdg::u32 cut_k_block) {         \
    Kernel::run({&a,                                                                              \
                 &b,                                                                              \
                 &b_rest,                                                                         \
                 &sfa,                                                                            \
                 &sfb,                                                                            \
                 &d,                                                                              \
                 &d_rest,                                                                         \
                 sfb_blocks,                                                                      \
                 c,                                                                               \
                 m,                                                                               \
                 pitch,                                                                           \
                 num_k_blocks,                                                                    \
                 sfb_rows,                                                                        \
                 {num_m, num_n, num_groups, raster_width},                                        \
                 nullptr,                                                                         \
                 {},                                                                              \
                 {},                                                                              \
                 {&a_cut, &b_cut, cut_k_block},                                                   \
                 &a_rest});                                                                       \
  }
