// What mbarriers count, one thing at a time; the main loops' combinations are in ptx/mbarrier.cuh.
#pragma once

#include "ptx/mbarrier.cuh"

namespace jdg::ptx {

__device__ __forceinline__ void mbarrier_arrive(Mbarrier& barrier, u32 count) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(&barrier)),
               "r"(count)
               : "memory");
}

// Arrivals that must not complete the phase. Returns the barrier's state before them.
__device__ __forceinline__ u64 mbarrier_arrive_no_complete(Mbarrier& barrier, u32 count) {
  u64 state;
  asm volatile("mbarrier.arrive.noComplete.shared::cta.b64 %0, [%1], %2;"
               : "=l"(state)
               : "r"(smem_address(&barrier)), "r"(count)
               : "memory");
  return state;
}

// Arrivals that were outstanding in a state of mbarrier_arrive_no_complete.
__device__ __forceinline__ u32 mbarrier_pending_count(u64 state) {
  u32 count;
  asm("mbarrier.pending_count.b64 %0, %1;" : "=r"(count) : "l"(state));
  return count;
}

// Adds to the bytes that the phase waits for, without an arrival.
__device__ __forceinline__ void mbarrier_expect_tx(Mbarrier& barrier, u32 bytes) {
  asm volatile(
      "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(smem_address(&barrier)),
      "r"(bytes)
      : "memory");
}

// Counts bytes as a copy does that brings them.
__device__ __forceinline__ void mbarrier_complete_tx(Mbarrier& barrier, u32 bytes) {
  asm volatile(
      "mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(smem_address(&barrier)),
      "r"(bytes)
      : "memory");
}

// Ends the barrier's life: its memory may be used for something else.
__device__ __forceinline__ void mbarrier_invalidate(Mbarrier& barrier) {
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(smem_address(&barrier)) : "memory");
}

// As mbarrier_arrive_remote; what this thread wrote to other CTAs before is there for those that
// wait with mbarrier_try_wait_cluster. Compiles to a full memory barrier.
__device__ __forceinline__ void mbarrier_arrive_remote_release(Mbarrier& barrier, u32 rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(smem_address(&barrier)),
      "r"(rank)
      : "memory");
}

// As mbarrier_try_wait, for what other CTAs wrote.
__device__ __forceinline__ bool mbarrier_try_wait_cluster(Mbarrier& barrier, u32 parity) {
  u32 done;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
      "selp.b32 %0, 1, 0, p;\n"
      "}"
      : "=r"(done)
      : "r"(smem_address(&barrier)), "r"(parity)
      : "memory");
  return done != 0;
}

}  // namespace jdg::ptx
