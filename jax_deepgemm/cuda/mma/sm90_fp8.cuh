// One 128-byte block of K of a warpgroup's FP8 product.
#pragma once

#include "ptx/wgmma.cuh"

namespace jdg {

constexpr int kBlockK = 128;  // Bytes, FP8 elements, and one swizzle row.

// Matrix descriptor of K-major rows of 128 bytes in the 128-byte swizzle: groups of 8 rows lie
// 1024 bytes apart (kernels read from an address aligned to 1024 bytes).
__device__ __forceinline__ u64 swizzled_descriptor(u32 smem_address) {
  constexpr u64 kStrideBytes = 1024;
  constexpr u64 kSwizzle128 = 1;
  return (kSwizzle128 << 62) | ((kStrideBytes >> 4) << 32) | (1ull << 16) |
         ((smem_address & 0x3FFFF) >> 4);
}

// Starts acc = A * B^T over one block of K: 64 rows of A, kN rows of B. Asynchronous: `acc` holds
// the result after wait_block_mma. The tensor cores add FP8 products with about 14 bits, so the
// caller must move the sum to float32 registers before the next block.
template <int kN>
__device__ __forceinline__ void start_block_mma(float (&acc)[kN / 2], u32 a_address,
                                                u32 b_address) {
  constexpr int kMmaK = 32;
  const u64 a = swizzled_descriptor(a_address);
  const u64 b = swizzled_descriptor(b_address);
  ptx::fence_registers(acc);
  ptx::wgmma_fence();
#pragma unroll
  for (int k = 0; k < kBlockK / kMmaK; ++k) {
    const u64 offset = k * kMmaK >> 4;
    ptx::wgmma_e4m3<kN>(acc, a + offset, b + offset, k > 0);
  }
  ptx::wgmma_commit();
}

// Returns when `acc` is there; `kPending` blocks that were started after it may go on.
template <int kPending, int kCount>
__device__ __forceinline__ void wait_block_mma(float (&acc)[kCount]) {
  ptx::wgmma_wait<kPending>();
  ptx::fence_registers(acc);
}

}  // namespace jdg
