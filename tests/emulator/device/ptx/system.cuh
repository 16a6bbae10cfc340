// Stands in for cuda/ptx/system.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void fence_system() { emu::fence_system(); }

__forceinline__ void store_system(u32* global, u32 value) { emu::store_system(global, value); }

__forceinline__ u32 load_acquire_system(const u32* global) {
  return emu::load_acquire(global, true);
}

__forceinline__ u32 load_acquire_gpu(const u32* global) { return emu::load_acquire(global, false); }

__forceinline__ u32 compare_and_swap_system(u32* global, u32 expected, u32 value) {
  return emu::compare_and_swap(global, expected, value);
}

__forceinline__ u64 global_timer() { return emu::global_timer(); }

}  // namespace jdg::ptx
