// The entry point of the Hopper paged MQA logits of FP4 vectors.
#pragma once

#include "kernels/sm90_fp8_fp4_paged_mqa_logits.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_fp8_fp4_paged_mqa_logits.py. There is no map of scales alone.
#define JDG_SM90_FP8_FP4_PAGED_MQA_LOGITS_ENTRY(Kernel)                                      \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1)                       \
      sm90_fp8_fp4_paged_mqa_logits(                                                         \
          const __grid_constant__ jdg::ptx::TensorMap q,                                     \
          const __grid_constant__ jdg::ptx::TensorMap pages,                                 \
          const __grid_constant__ jdg::ptx::TensorMap weights,                               \
          const __grid_constant__ jdg::ptx::TensorMap q_scales, const int* lengths,          \
          const int* table, const int* indices, void* logits, const jdg::u8* q_codes,        \
          const jdg::u8* page_bytes, const jdg::u32* q_exponents, const float* head_weights, \
          jdg::u32 num_rows, jdg::u32 next_n, jdg::u32 num_pages, jdg::u32 max_pages,        \
          jdg::u32 most_keys, jdg::u32 width, jdg::u32 clean, jdg::u32 fill) {               \
    Kernel::run({{&q, &pages, nullptr, &weights, lengths, table, indices, logits, num_rows,  \
                  next_n, num_pages, max_pages, most_keys, width, clean, fill},              \
                 &q_scales,                                                                  \
                 q_codes,                                                                    \
                 page_bytes,                                                                 \
                 q_exponents,                                                                \
                 head_weights});                                                             \
  }
