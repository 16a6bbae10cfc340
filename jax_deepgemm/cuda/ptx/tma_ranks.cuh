// The ranks that ptx/tma.cuh leaves out.
#pragma once

#include "ptx/tma.cuh"

namespace jdg::ptx {

__device__ __forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier,
                                         u32 x) {
  asm volatile(
      "cp.async.bulk.tensor.1d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3}], [%2];" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "r"(x)
      : "memory");
}

__device__ __forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x,
                                         u32 y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4}], [%2];" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "r"(x), "r"(y)
      : "memory");
}

__device__ __forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x,
                                         u32 y, u32 z, u32 w, u32 v) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "r"(x), "r"(y), "r"(z), "r"(w), "r"(v)
      : "memory");
}

__device__ __forceinline__ void tma_load_multicast(void* smem, const TensorMap* map,
                                                   Mbarrier& barrier, u16 cta_mask, u32 x, u32 y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4, %5}], [%2], %3;" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "h"(cta_mask), "r"(x), "r"(y)
      : "memory");
}

__device__ __forceinline__ void tma_load_multicast(void* smem, const TensorMap* map,
                                                   Mbarrier& barrier, u16 cta_mask, u32 x, u32 y,
                                                   u32 z, u32 w, u32 v) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4, %5, %6, %7, %8}], [%2], %3;" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "h"(cta_mask), "r"(x), "r"(y), "r"(z), "r"(w), "r"(v)
      : "memory");
}

__device__ __forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x) {
  asm volatile(
      "cp.async.bulk.tensor.1d.global.shared::cta.tile.bulk_group [%0, {%2}], [%1];" ::"l"(map),
      "r"(smem_address(smem)), "r"(x)
      : "memory");
}

__device__ __forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),
      "r"(smem_address(smem)), "r"(x), "r"(y)
      : "memory");
}

__device__ __forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y,
                                          u32 z, u32 w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::
          "l"(map),
      "r"(smem_address(smem)), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

__device__ __forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y,
                                          u32 z, u32 w, u32 v) {
  asm volatile(
      "cp.async.bulk.tensor.5d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4, %5, %6}], "
      "[%1];" ::"l"(map),
      "r"(smem_address(smem)), "r"(x), "r"(y), "r"(z), "r"(w), "r"(v)
      : "memory");
}

}  // namespace jdg::ptx
