// Stands in for cuda/ptx/tma_cache_hint.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ u64 evict_first_policy() { return 0; }

__forceinline__ void tma_load_hinted(void* smem, const TensorMap* map, Mbarrier& barrier, u64,
                                     u32 x, u32 y, u32 z) {
  emu::tma_load(smem_address(smem), map, smem_address(&barrier), {x, y, z});
}

__forceinline__ void tma_load_hinted(void* smem, const TensorMap* map, Mbarrier& barrier, u64,
                                     u32 x, u32 y, u32 z, u32 w) {
  emu::tma_load(smem_address(smem), map, smem_address(&barrier), {x, y, z, w});
}

}  // namespace jdg::ptx
