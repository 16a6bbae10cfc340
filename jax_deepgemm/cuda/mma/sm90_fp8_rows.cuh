// As sm90_fp8.cuh, with the 64 rows of A in registers.
#pragma once

#include "mma/sm90_fp8.cuh"
#include "ptx/wgmma_rs.cuh"

namespace jdg {

// What a thread has of its warp's 16 rows and a block of K, as ptx/wgmma_rs.cuh says: a step is 32
// of K.
using BlockRows = u32[kBlockK / 32][4];

// Starts acc = A * B^T over one block of K: 64 rows of A, kN rows of B. Asynchronous: `acc` holds
// the result after wait_block_mma, and `rows` must be left alone until then.
template <int kN>
__device__ __forceinline__ void start_block_mma(float (&acc)[kN / 2], BlockRows& rows,
                                                u32 b_address) {
  constexpr int kMmaK = 32;
  const u64 b = swizzled_descriptor(b_address);
  ptx::fence_registers(acc);
#pragma unroll
  for (int k = 0; k < kBlockK / kMmaK; ++k) ptx::fence_registers(rows[k]);
  ptx::wgmma_fence();
#pragma unroll
  for (int k = 0; k < kBlockK / kMmaK; ++k) {
    ptx::wgmma_e4m3_rs<kN>(acc, rows[k], b + (k * kMmaK >> 4), k > 0);
  }
  ptx::wgmma_commit();
}

// Returns when `acc` is there and `rows` are free.
template <int kPending, int kCount>
__device__ __forceinline__ void wait_block_mma(float (&acc)[kCount], BlockRows& rows) {
  wait_block_mma<kPending>(acc);
#pragma unroll
  for (int k = 0; k < kBlockK / 32; ++k) ptx::fence_registers(rows[k]);
}

}  // namespace jdg
