// An FP8 product whose K is one vector of 32, 64 or 128 elements: a head's.
#pragma once

#include "ptx/wgmma.cuh"

namespace jdg {

// Matrix descriptor of K-major rows of kRowBytes in the swizzle of as many bytes: groups of 8 rows
// follow each other.
template <int kRowBytes>
__device__ __forceinline__ u64 head_descriptor(u32 smem_address) {
  static_assert(kRowBytes == 32 || kRowBytes == 64 || kRowBytes == 128, "a row is one swizzle");
  constexpr u64 kStrideBytes = 8 * kRowBytes;
  constexpr u64 kSwizzle = kRowBytes == 128 ? 1 : kRowBytes == 64 ? 2 : 3;
  return (kSwizzle << 62) | ((kStrideBytes >> 4) << 32) | (1ull << 16) |
         ((smem_address & 0x3FFFF) >> 4);
}

// Starts acc = A * B^T: 64 rows of A, kN rows of B, of kHeadDim elements. Asynchronous: `acc` holds
// the result after wait_heads_mma.
template <int kN, int kHeadDim>
__device__ __forceinline__ void start_heads_mma(float (&acc)[kN / 2], u32 a_address,
                                                u32 b_address) {
  constexpr int kMmaK = 32;
  const u64 a = head_descriptor<kHeadDim>(a_address);
  const u64 b = head_descriptor<kHeadDim>(b_address);
  ptx::fence_registers(acc);
  ptx::wgmma_fence();
#pragma unroll
  for (int k = 0; k < kHeadDim / kMmaK; ++k) {
    const u64 offset = k * kMmaK >> 4;
    ptx::wgmma_e4m3<kN>(acc, a + offset, b + offset, k > 0);
  }
  ptx::wgmma_commit();
}

// Returns when `acc` is there; `kPending` products that were started after it may go on.
template <int kPending, int kCount>
__device__ __forceinline__ void wait_heads_mma(float (&acc)[kCount]) {
  ptx::wgmma_wait<kPending>();
  ptx::fence_registers(acc);
}

}  // namespace jdg
