// Transaction barriers in shared memory (PTX ISA, "mbarrier").
//
// Only unscoped arrive and try_wait are offered: the `.release.cluster` and `.acquire.cluster`
// spellings compile to full memory barriers and cost more than a factor 2 in a main loop.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__device__ __forceinline__ void mbarrier_init(Mbarrier& barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_address(&barrier)),
               "r"(arrivals)
               : "memory");
}

// Makes initialised barriers visible to the other CTAs of the cluster and to TMA.
__device__ __forceinline__ void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(Mbarrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_address(&barrier)) : "memory");
}

// Arrives at the barrier at the same offset in CTA `rank` of the cluster.
__device__ __forceinline__ void mbarrier_arrive_remote(Mbarrier& barrier, u32 rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(smem_address(&barrier)),
      "r"(rank)
      : "memory");
}

__device__ __forceinline__ void mbarrier_arrive_expect_tx(Mbarrier& barrier, u32 bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(&barrier)),
      "r"(bytes)
      : "memory");
}

// True once the phase with this parity has completed; may suspend the thread for a while.
__device__ __forceinline__ bool mbarrier_try_wait(Mbarrier& barrier, u32 parity) {
  u32 done;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.b32 %0, 1, 0, p;\n"
      "}"
      : "=r"(done)
      : "r"(smem_address(&barrier)), "r"(parity)
      : "memory");
  return done != 0;
}

// As mbarrier_try_wait, but never suspends the thread.
__device__ __forceinline__ bool mbarrier_test_wait(Mbarrier& barrier, u32 parity) {
  u32 done;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.b32 %0, 1, 0, p;\n"
      "}"
      : "=r"(done)
      : "r"(smem_address(&barrier)), "r"(parity)
      : "memory");
  return done != 0;
}

}  // namespace jdg::ptx
