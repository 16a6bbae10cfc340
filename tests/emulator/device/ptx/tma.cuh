// Stands in for cuda/ptx/tma.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void prefetch_tensor_map(const TensorMap* map) { emu::prefetch_tensor_map(map); }

__forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x, u32 y,
                              u32 z) {
  emu::tma_load(smem_address(smem), map, smem_address(&barrier), {x, y, z});
}

__forceinline__ void tma_load(void* smem, const TensorMap* map, Mbarrier& barrier, u32 x, u32 y,
                              u32 z, u32 w) {
  emu::tma_load(smem_address(smem), map, smem_address(&barrier), {x, y, z, w});
}

__forceinline__ void tma_load_multicast(void* smem, const TensorMap* map, Mbarrier& barrier,
                                        u16 cta_mask, u32 x, u32 y, u32 z) {
  emu::tma_load_multicast(smem_address(smem), map, smem_address(&barrier), cta_mask, {x, y, z});
}

__forceinline__ void tma_load_multicast(void* smem, const TensorMap* map, Mbarrier& barrier,
                                        u16 cta_mask, u32 x, u32 y, u32 z, u32 w) {
  emu::tma_load_multicast(smem_address(smem), map, smem_address(&barrier), cta_mask, {x, y, z, w});
}

__forceinline__ void tma_store(const TensorMap* map, const void* smem, u32 x, u32 y, u32 z) {
  emu::tma_store(map, smem_address(smem), {x, y, z});
}

__forceinline__ void tma_store_commit() { emu::tma_store_commit(); }

template <int kPending = 0>
__forceinline__ void tma_store_wait_read() {
  emu::tma_store_wait(kPending, true);
}

template <int kPending = 0>
__forceinline__ void tma_store_wait() {
  emu::tma_store_wait(kPending, false);
}

__forceinline__ void fence_proxy_async() { emu::fence_proxy_async(); }

}  // namespace jdg::ptx
