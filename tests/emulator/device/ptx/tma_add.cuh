// Stands in for cuda/ptx/tma_add.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x) {
  emu::tma_store_add(map, smem_address(smem), {x});
}

__forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x, u32 y) {
  emu::tma_store_add(map, smem_address(smem), {x, y});
}

__forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x, u32 y, u32 z) {
  emu::tma_store_add(map, smem_address(smem), {x, y, z});
}

__forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x, u32 y, u32 z,
                                   u32 w) {
  emu::tma_store_add(map, smem_address(smem), {x, y, z, w});
}

__forceinline__ void tma_store_add(const TensorMap* map, const void* smem, u32 x, u32 y, u32 z,
                                   u32 w, u32 v) {
  emu::tma_store_add(map, smem_address(smem), {x, y, z, w, v});
}

}  // namespace jdg::ptx
