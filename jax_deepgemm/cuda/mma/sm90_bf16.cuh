// One block of K, 64 elements, of a warpgroup's BF16 product.
//
// In shared memory an operand is atoms of 128 bytes a line in the 128-byte swizzle:
//   K-major: a line per row, 64 elements of K in it; 8 lines are 1024 bytes.
//   MN-major: 64 rows in a line, a line per element of K; 64 lines, 8 KB, then the next 64 rows.
// Either way 64 rows take 8 KB, so that slabs of A lie alike.
#pragma once

#include "ptx/wgmma_bf16.cuh"

namespace jdg {

constexpr int kBf16BlockK = 64;
constexpr int kBf16LineBytes = 128;
constexpr int kBf16AtomRows = 64;  // Rows of one line of an MN-major operand.
constexpr int kBf16AtomBytes = kBf16BlockK * kBf16LineBytes;
constexpr int kBf16MmaK = 16;

// Matrix descriptor of an operand at an address that is a multiple of 1024. Eight lines of K or of
// rows lie 1024 bytes apart; the leading offset leads to the next 64 rows of an MN-major operand.
__device__ __forceinline__ u64 bf16_descriptor(u32 smem_address) {
  constexpr u64 kStrideBytes = 1024;
  constexpr u64 kLeadingBytes = kBf16AtomBytes;
  constexpr u64 kSwizzle128 = 1;
  return (kSwizzle128 << 62) | ((kStrideBytes >> 4) << 32) | ((kLeadingBytes >> 4) << 16) |
         ((smem_address & 0x3FFFF) >> 4);
}

// From the descriptor of one product to that of the next 16 elements of K, in 16 bytes.
template <bool kMnMajor>
__device__ __forceinline__ constexpr u64 bf16_step() {
  return (kMnMajor ? kBf16MmaK * kBf16LineBytes : kBf16MmaK * 2) >> 4;
}

// Starts acc = A * B^T (kFirst) or acc += A * B^T over one block of K: 64 rows of A, kN of B. The
// caller has fenced the registers and commits.
template <int kN, bool kAMnMajor, bool kBMnMajor, bool kFirst>
__device__ __forceinline__ void start_bf16_mma(float (&acc)[kN / 2], u32 a_address, u32 b_address) {
  const u64 a = bf16_descriptor(a_address);
  const u64 b = bf16_descriptor(b_address);
#pragma unroll
  for (int k = 0; k < kBf16BlockK / kBf16MmaK; ++k) {
    ptx::wgmma_bf16<kN, kAMnMajor, kBMnMajor>(acc, a + k * bf16_step<kAMnMajor>(),
                                              b + k * bf16_step<kBMnMajor>(), !kFirst || k > 0);
  }
}

}  // namespace jdg
