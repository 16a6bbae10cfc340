// Copies of contiguous bytes by TMA, without a tensor map (PTX ISA, "cp.async.bulk").
//
// Addresses and sizes are multiples of 16. Stores and additions belong to the thread's group that
// tma_store_commit closes.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Global to shared memory; counts `bytes` against `barrier`.
__device__ __forceinline__ void bulk_load(void* smem, const void* global, u32 bytes,
                                          Mbarrier& barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(smem_address(smem)),
      "l"(global), "r"(bytes), "r"(smem_address(&barrier))
      : "memory");
}

__device__ __forceinline__ void bulk_store(void* global, const void* smem, u32 bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(global),
               "r"(smem_address(smem)), "r"(bytes)
               : "memory");
}

// Adds float32 values to those in global memory.
__device__ __forceinline__ void bulk_add_float32(void* global, const void* smem, u32 bytes) {
  asm volatile(
      "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(global),
      "r"(smem_address(smem)), "r"(bytes)
      : "memory");
}

// To the same offset as `target` in CTA `rank` of the cluster; counts `bytes` against the barrier
// at the offset of `barrier` there.
__device__ __forceinline__ void bulk_send(void* target, u32 rank, const void* smem, u32 bytes,
                                          Mbarrier& barrier) {
  asm volatile(
      "{\n"
      ".reg .b32 remote, remote_barrier;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mapa.shared::cluster.u32 remote_barrier, %4, %1;\n"
      "cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes"
      " [remote], [%2], %3, [remote_barrier];\n"
      "}" ::"r"(smem_address(target)),
      "r"(rank), "r"(smem_address(smem)), "r"(bytes), "r"(smem_address(&barrier))
      : "memory");
}

}  // namespace jdg::ptx
