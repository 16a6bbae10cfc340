// As sm90_fp8.cuh, for a part of a block of K.
#pragma once

#include "mma/sm90_fp8.cuh"

namespace jdg {

// Starts acc = A * B^T over 32 of a block's 128 elements of K, from 32 * `step` on.
template <int kN>
__device__ __forceinline__ void start_step_mma(float (&acc)[kN / 2], u32 a_address, u32 b_address,
                                               u32 step) {
  const u64 offset = step * 2;  // Descriptors count 16 bytes.
  ptx::fence_registers(acc);
  ptx::wgmma_fence();
  ptx::wgmma_e4m3<kN>(acc, swizzled_descriptor(a_address) + offset,
                      swizzled_descriptor(b_address) + offset, false);
  ptx::wgmma_commit();
}

}  // namespace jdg
