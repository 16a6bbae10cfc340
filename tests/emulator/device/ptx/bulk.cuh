// Stands in for cuda/ptx/bulk.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void bulk_load(void* smem, const void* global, u32 bytes, Mbarrier& barrier) {
  emu::bulk_load(smem_address(smem), global, bytes, smem_address(&barrier));
}

__forceinline__ void bulk_store(void* global, const void* smem, u32 bytes) {
  emu::bulk_store(global, smem_address(smem), bytes, false);
}

__forceinline__ void bulk_add_float32(void* global, const void* smem, u32 bytes) {
  emu::bulk_store(global, smem_address(smem), bytes, true);
}

__forceinline__ void bulk_send(void* target, u32 rank, const void* smem, u32 bytes,
                               Mbarrier& barrier) {
  emu::bulk_send(smem_address(target), rank, smem_address(smem), bytes, smem_address(&barrier));
}

}  // namespace jdg::ptx
