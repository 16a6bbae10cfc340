// Tensor stores that add to what is in global memory, in the element type of the map: 32-bit and
// unsigned 64-bit integers, float32 or bfloat16. Which of several additions comes first is open.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__device__ __forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.1d.global.shared::cta.add.tile.bulk_group [%0, {%2}], [%1];" ::
          "l"(map),
      "r"(smem_address(smem)), "r"(x)
      : "memory");
}

__device__ __forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x,
                                              u32 y) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3}], "
      "[%1];" ::"l"(map),
      "r"(smem_address(smem)), "r"(x), "r"(y)
      : "memory");
}

__device__ __forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x, u32 y,
                                              u32 z) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.3d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3, %4}], "
      "[%1];" ::"l"(map),
      "r"(smem_address(smem)), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ __forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x, u32 y,
                                              u32 z, u32 w) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.4d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3, %4, "
      "%5}], [%1];" ::"l"(map),
      "r"(smem_address(smem)), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

__device__ __forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x, u32 y,
                                              u32 z, u32 w, u32 v) {
  asm volatile(
      "cp.reduce.async.bulk.tensor.5d.global.shared::cta.add.tile.bulk_group [%0, {%2, %3, %4, %5, "
      "%6}], [%1];" ::"l"(map),
      "r"(smem_address(smem)), "r"(x), "r"(y), "r"(z), "r"(w), "r"(v)
      : "memory");
}

}  // namespace jdg::ptx
