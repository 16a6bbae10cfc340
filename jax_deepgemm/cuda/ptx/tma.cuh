// Tensor copies between global and shared memory (PTX ISA, "cp.async.bulk.tensor").
//
// Coordinates are innermost first. Elements outside the tensor load as zero and are not stored;
// the transaction count of a load is always that of the whole box. The innermost coordinate must be
// a multiple of 16 bytes, though the tensor's size need not be: an illegal instruction otherwise.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__device__ __forceinline__ void prefetch_tensor_map(const TensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ __forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x,
                                         u32 y, u32 z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ __forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x,
                                         u32 y, u32 z, u32 w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

// Writes the box, and its transaction bytes, to the same offsets in every CTA of `cta_mask`.
__device__ __forceinline__ void tma_load_multicast(void* smem, const TensorMap* map,
                                                   Mbarrier& barrier, u16 cta_mask, u32 x, u32 y,
                                                   u32 z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4, %5, %6}], [%2], %3;" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "h"(cta_mask), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ __forceinline__ void tma_load_multicast(void* smem, const TensorMap* map,
                                                   Mbarrier& barrier, u16 cta_mask, u32 x, u32 y,
                                                   u32 z, u32 w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4, %5, %6, %7}], [%2], %3;" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "h"(cta_mask), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

__device__ __forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y,
                                          u32 z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(
          map),
      "r"(smem_address(smem)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ __forceinline__ void tma_store_commit() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Returns when all but the last `kPending` groups of this thread's stores have read their shared
// memory: it may be overwritten.
template <int kPending = 0>
__device__ __forceinline__ void tma_store_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

// As above, when they have written global memory.
template <int kPending = 0>
__device__ __forceinline__ void tma_store_wait() {
  asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kPending) : "memory");
}

// Orders this thread's ordinary shared-memory writes before later TMA reads of them.
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

}  // namespace jdg::ptx
