// The entry point of the Hopper MQA logits of FP4 vectors.
#pragma once

#include "kernels/sm90_fp8_fp4_mqa_logits.cuh"

// A macro for the reason given in kernels/sm90_fp8_gemm_entry.cuh. The order of the parameters is
// that of primitives/sm90_fp8_fp4_mqa_logits.py.
#define JDG_SM90_FP8_FP4_MQA_LOGITS_ENTRY(Kernel)                                                  \
  extern "C" __global__ void __launch_bounds__(Kernel::kNumThreads, 1) sm90_fp8_fp4_mqa_logits(    \
      const __grid_constant__ jdg::ptx::TensorMap q,                                               \
      const __grid_constant__ jdg::ptx::TensorMap keys,                                            \
      const __grid_constant__ jdg::ptx::TensorMap scales,                                          \
      const __grid_constant__ jdg::ptx::TensorMap weights,                                         \
      const __grid_constant__ jdg::ptx::TensorMap q_scales, const int* starts, const int* ends,    \
      void* logits, const jdg::u8* q_codes, const jdg::u8* key_codes, const jdg::u32* q_exponents, \
      const jdg::u32* key_exponents, const float* head_weights, jdg::u32 num_rows,                 \
      jdg::u32 num_keys, jdg::u32 width, jdg::u32 compressed, jdg::u32 fill) {                     \
    Kernel::run({{&q, &keys, &scales, &weights, starts, ends, logits, num_rows, num_keys, width,   \
                  compressed, fill},                                                               \
                 &q_scales,                                                                        \
                 q_codes,                                                                          \
                 key_codes,                                                                        \
                 q_exponents,                                                                      \
                 key_exponents,                                                                    \
                 head_weights});                                                                   \
  }
