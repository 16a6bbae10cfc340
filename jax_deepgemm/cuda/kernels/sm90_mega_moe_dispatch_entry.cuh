// The entry point of the exchange of rows between ranks.
#pragma once

#include "kernels/sm90_mega_moe_dispatch.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_mega_moe_dispatch.py.
#define JDG_SM90_MEGA_MOE_DISPATCH_ENTRY(Kernel)                                                   \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_mega_moe_dispatch(     \
      const jdg::u8* rows, const float* scales, const int* experts, const float* weights,          \
      const int* num_tokens, void* arena, int* places, int* group_sizes, float* transposed_scales, \
      jdg::u64* row_addresses, jdg::u32* cta_counts, jdg::u32 num_rows, jdg::u32 top_k,            \
      jdg::u32 num_experts, jdg::u32 num_ranks, jdg::u32 row_bytes, jdg::u32 result_bytes,         \
      jdg::u32 num_scales, jdg::u32 capacity, jdg::u32 num_slots, jdg::u32 shape_hash,             \
      jdg::u64 counts_offset, jdg::u64 flags_offset, jdg::u64 rows_offset, jdg::u64 scales_offset, \
      jdg::u64 weights_offset, jdg::u64 sources_offset, jdg::u64 results_offset) {                 \
    Kernel::run({rows,          scales,         experts,                                           \
                 weights,       num_tokens,     static_cast<jdg::SymmetricArena*>(arena),          \
                 places,        group_sizes,    transposed_scales,                                 \
                 row_addresses, cta_counts,     num_rows,                                          \
                 top_k,         num_experts,    num_ranks,                                         \
                 row_bytes,     result_bytes,   num_scales,                                        \
                 capacity,      num_slots,      shape_hash,                                        \
                 counts_offset, flags_offset,   rows_offset,                                       \
                 scales_offset, weights_offset, sources_offset,                                    \
                 results_offset});                                                                 \
  }
