// The entry point of the sum of experts' results.
#pragma once

#include "kernels/sm90_mega_moe_combine.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_mega_moe_combine.py.
#define JDG_SM90_MEGA_MOE_COMBINE_ENTRY(Kernel)                                                \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_mega_moe_combine(  \
      const int* places, const int* num_tokens, void* arena, jdg::u8* sums, jdg::u32 num_rows, \
      jdg::u32 top_k, jdg::u32 num_ranks, jdg::u32 num_columns, jdg::u32 capacity,             \
      jdg::u64 flags_offset, jdg::u64 results_offset) {                                        \
    Kernel::run({places, num_tokens, static_cast<jdg::SymmetricArena*>(arena), sums, num_rows, \
                 top_k, num_ranks, num_columns, capacity, flags_offset, results_offset});      \
  }
