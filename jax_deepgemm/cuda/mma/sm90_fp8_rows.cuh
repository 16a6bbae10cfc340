// As sm90_fp8.cuh, with the 64 rows of A in registers and a sum for each 32 of K.
#pragma once

#include "mma/sm90_fp8.cuh"
#include "ptx/wgmma_rs.cuh"

namespace jdg {

constexpr int kStepK = 32;  // Of K, an instruction.

// What a thread has of its warp's 16 rows and a step of K, as ptx/wgmma_rs.cuh says.
using StepRows = u32[4];

// Starts acc[i] = A * B^T over 32 of a block's 128 elements of K for each i: 64 rows of A, kN rows
// of B. The first step is step `first` of its block. Asynchronous: `acc` holds the results after
// wait_steps_mma, and `rows` must be left alone until then.
template <int kN, int kSteps>
__device__ __forceinline__ void start_steps_mma(float (&acc)[kSteps][kN / 2],
                                                StepRows (&rows)[kSteps], u32 b_address,
                                                int first) {
  const u64 b = swizzled_descriptor(b_address) + (first * kStepK >> 4);
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    ptx::fence_registers(acc[i]);
    ptx::fence_registers(rows[i]);
  }
  ptx::wgmma_fence();
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    ptx::wgmma_e4m3_rs<kN>(acc[i], rows[i], b + (i * kStepK >> 4), false);
  }
  ptx::wgmma_commit();
}

// Returns when `acc` is there and `rows` are free.
template <int kSteps, int kCount>
__device__ __forceinline__ void wait_steps_mma(float (&acc)[kSteps][kCount],
                                               StepRows (&rows)[kSteps]) {
  ptx::wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    ptx::fence_registers(acc[i]);
    ptx::fence_registers(rows[i]);
  }
}

}  // namespace jdg
