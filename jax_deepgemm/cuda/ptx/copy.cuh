// Shared-memory stores of matrix fragments, and small asynchronous copies by threads.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Stores four 8x8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix
// i / 8, 16 bytes each.
__device__ __forceinline__ void stmatrix_x4(u32 address, u32 r0, u32 r1, u32 r2, u32 r3) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
               "r"(r0), "r"(r1), "r"(r2), "r"(r3)
               : "memory");
}

// As above for two matrices; the addresses of lanes 16-31 are ignored.
__device__ __forceinline__ void stmatrix_x2(u32 address, u32 r0, u32 r1) {
  asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1, %2};" ::"r"(address), "r"(r0),
               "r"(r1)
               : "memory");
}

// As above; registers hold columns, so that memory gets the transposed matrices.
__device__ __forceinline__ void stmatrix_x4_transposed(u32 address, u32 r0, u32 r1, u32 r2,
                                                       u32 r3) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
      "r"(r0), "r"(r1), "r"(r2), "r"(r3)
      : "memory");
}

__device__ __forceinline__ void stmatrix_x2_transposed(u32 address, u32 r0, u32 r1) {
  asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};" ::"r"(address),
               "r"(r0), "r"(r1)
               : "memory");
}

__device__ __forceinline__ void store_shared(u32 address, float x, float y) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(x), "f"(y) : "memory");
}

// Starts a copy of 4 bytes from global memory, or of zeros if `valid` is false.
__device__ __forceinline__ void cp_async_4(void* smem, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(smem_address(smem)),
               "l"(global), "r"(valid ? 4 : 0)
               : "memory");
}

// Starts a copy of the first `bytes` of 4 from global memory; the others become zeros.
__device__ __forceinline__ void cp_async_4(void* smem, const void* global, u32 bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(smem_address(smem)),
               "l"(global), "r"(bytes)
               : "memory");
}

// Arrives at `barrier` once all earlier cp.async of this thread have landed. Counts against the
// barrier's expected arrivals.
__device__ __forceinline__ void cp_async_arrive(Mbarrier& barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(smem_address(&barrier))
               : "memory");
}

// Two bfloat16, `low` in the lower half, rounded to nearest even.
__device__ __forceinline__ u32 pack_bfloat16(float low, float high) {
  u32 packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

}  // namespace jdg::ptx
