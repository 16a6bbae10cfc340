// The entry point of the Hopper selection of a row's largest values.
#pragma once

#include "kernels/sm90_row_topk.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_row_topk.py.
#define JDG_SM90_ROW_TOPK_ENTRY(Kernel)                                                          \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, Kernel::kCtasPerSm)          \
      sm90_row_topk(const float* values, const int* keys, const int* starts, const int* ends,    \
                    float* largest_values, int* largest_keys, jdg::u32 num_keys, jdg::u32 width, \
                    jdg::u32 k, jdg::u32 parts) {                                                \
    Kernel::run(                                                                                 \
        {values, keys, starts, ends, largest_values, largest_keys, num_keys, width, k, parts});  \
  }
