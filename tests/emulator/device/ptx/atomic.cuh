// Stands in for cuda/ptx/atomic.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ u32 atomic_add(u32* global, u32 value) { return emu::atomic_add(global, value); }

__forceinline__ u32 atomic_max(u32* global, u32 value) { return emu::atomic_max(global, value); }

__forceinline__ void reduce_add(float* global, float value) { emu::reduce_add(global, {value}); }

__forceinline__ void reduce_add(float* global, float x, float y, float z, float w) {
  emu::reduce_add(global, {x, y, z, w});
}

__forceinline__ u32 atomic_add_shared(u32 address, u32 value) {
  return emu::atomic_shared(address, value, false);
}

__forceinline__ u32 atomic_max_shared(u32 address, u32 value) {
  return emu::atomic_shared(address, value, true);
}

__forceinline__ void fence_gpu() { emu::fence_gpu(); }

}  // namespace jdg::ptx
