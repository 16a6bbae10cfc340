// Atomic operations on global and shared memory. None of them orders other accesses.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Returns the value before.
__device__ __forceinline__ u32 atomic_add(u32* global, u32 value) {
  u32 before;
  asm volatile("atom.relaxed.gpu.global.add.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(global), "r"(value)
               : "memory");
  return before;
}

__device__ __forceinline__ u32 atomic_max(u32* global, u32 value) {
  u32 before;
  asm volatile("atom.relaxed.gpu.global.max.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(global), "r"(value)
               : "memory");
  return before;
}

// Additions that return nothing and may happen later.
__device__ __forceinline__ void reduce_add(float* global, float value) {
  asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(global), "f"(value) : "memory");
}

// Four neighbours, aligned to 16 bytes.
__device__ __forceinline__ void reduce_add(float* global, float x, float y, float z, float w) {
  asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(global), "f"(x),
               "f"(y), "f"(z), "f"(w)
               : "memory");
}

__device__ __forceinline__ u32 atomic_add_shared(u32 address, u32 value) {
  u32 before;
  asm volatile("atom.relaxed.cta.shared::cta.add.u32 %0, [%1], %2;"
               : "=r"(before)
               : "r"(address), "r"(value)
               : "memory");
  return before;
}

__device__ __forceinline__ u32 atomic_max_shared(u32 address, u32 value) {
  u32 before;
  asm volatile("atom.relaxed.cta.shared::cta.max.u32 %0, [%1], %2;"
               : "=r"(before)
               : "r"(address), "r"(value)
               : "memory");
  return before;
}

// Shows other CTAs what this thread wrote or saw written, and it what they did.
__device__ __forceinline__ void fence_gpu() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

}  // namespace jdg::ptx
