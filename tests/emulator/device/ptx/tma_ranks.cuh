// Stands in for cuda/ptx/tma_ranks.cuh.
#pragma once

#include "ptx/tma.cuh"

namespace jdg::ptx {

__forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x) {
  emu::tma_load(smem_address(smem), map, smem_address(&barrier), {x});
}

__forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x, u32 y) {
  emu::tma_load(smem_address(smem), map, smem_address(&barrier), {x, y});
}

__forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x, u32 y,
                              u32 z, u32 w, u32 v) {
  emu::tma_load(smem_address(smem), map, smem_address(&barrier), {x, y, z, w, v});
}

__forceinline__ void tma_load_multicast(void* smem, const TensorMap* map, Mbarrier& barrier,
                                        u16 cta_mask, u32 x, u32 y) {
  emu::tma_load_multicast(smem_address(smem), map, smem_address(&barrier), cta_mask, {x, y});
}

__forceinline__ void tma_load_multicast(void* smem, const TensorMap* map, Mbarrier& barrier,
                                        u16 cta_mask, u32 x, u32 y, u32 z, u32 w, u32 v) {
  emu::tma_load_multicast(smem_address(smem), map, smem_address(&barrier), cta_mask,
                          {x, y, z, w, v});
}

__forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x) {
  emu::tma_store(map, smem_address(smem), {x});
}

__forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y) {
  emu::tma_store(map, smem_address(smem), {x, y});
}

__forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y, u32 z, u32 w) {
  emu::tma_store(map, smem_address(smem), {x, y, z, w});
}

__forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y, u32 z, u32 w,
                               u32 v) {
  emu::tma_store(map, smem_address(smem), {x, y, z, w, v});
}

}  // namespace jdg::ptx
