// Memory that other devices and the host see, and time.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Shows every thread of the system what this one wrote or saw written, and it what they did.
__device__ __forceinline__ void fence_system() { asm volatile("fence.acq_rel.sys;" ::: "memory"); }

// Shows nothing else of this thread's: a fence goes before it.
__device__ __forceinline__ void store_system(u32* global, u32 value) {
  asm volatile("st.relaxed.sys.global.u32 [%0], %1;" ::"l"(global), "r"(value) : "memory");
}

// What the thread that stored the value had fenced before is there now.
__device__ __forceinline__ u32 load_acquire_system(const u32* global) {
  u32 value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(global) : "memory");
  return value;
}

// The same among the threads of this device.
__device__ __forceinline__ u32 load_acquire_gpu(const u32* global) {
  u32 value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(global) : "memory");
  return value;
}

// Stores `value` in place of `expected`; returns what was there.
__device__ __forceinline__ u32 compare_and_swap_system(u32* global, u32 expected, u32 value) {
  u32 before;
  asm volatile("atom.relaxed.sys.global.cas.b32 %0, [%1], %2, %3;"
               : "=r"(before)
               : "l"(global), "r"(expected), "r"(value)
               : "memory");
  return before;
}

// Nanoseconds, in coarse steps.
__device__ __forceinline__ u64 global_timer() {
  u64 now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now)::"memory");
  return now;
}

}  // namespace jdg::ptx
