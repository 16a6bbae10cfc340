// Barriers 1-15 of a CTA, among some of its warps; __syncthreads is barrier 0.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Returns when `threads` threads, whole warps, are here or were at barrier_arrive.
__device__ __forceinline__ void barrier_sync(u32 id, u32 threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Counts this warp at the barrier and goes on.
__device__ __forceinline__ void barrier_arrive(u32 id, u32 threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

}  // namespace jdg::ptx
