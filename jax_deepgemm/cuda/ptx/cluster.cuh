// Shared memory of the other CTAs of a cluster.
//
// Only between two cluster barriers: before the first a CTA may not have started, after the last
// it may have ended.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// The address, in the cluster, of the same place in CTA `rank`.
__device__ __forceinline__ u32 map_to_cta(u32 address, u32 rank) {
  u32 mapped;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(mapped) : "r"(address), "r"(rank));
  return mapped;
}

__device__ __forceinline__ u32 load_cluster(u32 mapped) {
  u32 value;
  asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(value) : "r"(mapped) : "memory");
  return value;
}

__device__ __forceinline__ void store_cluster(u32 mapped, u32 value) {
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(mapped), "r"(value) : "memory");
}

__device__ __forceinline__ void reduce_add_cluster(u32 mapped, u32 value) {
  asm volatile("red.relaxed.cluster.shared::cluster.add.u32 [%0], %1;" ::"r"(mapped), "r"(value)
               : "memory");
}

// Stores 4 bytes at some moment, and counts them against a barrier of the same CTA.
__device__ __forceinline__ void store_async(u32 mapped, u32 value, u32 mapped_barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(
          mapped),
      "r"(value), "r"(mapped_barrier)
      : "memory");
}

// As above, 16 bytes.
__device__ __forceinline__ void store_async(u32 mapped, u32 x, u32 y, u32 z, u32 w,
                                            u32 mapped_barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32"
      " [%0], {%1, %2, %3, %4}, [%5];" ::"r"(mapped),
      "r"(x), "r"(y), "r"(z), "r"(w), "r"(mapped_barrier)
      : "memory");
}

}  // namespace jdg::ptx
