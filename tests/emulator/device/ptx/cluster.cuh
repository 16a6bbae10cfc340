// Stands in for cuda/ptx/cluster.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ u32 map_to_cta(u32 address, u32 rank) { return emu::map_to_cta(address, rank); }

__forceinline__ u32 load_cluster(u32 mapped) { return emu::load_cluster(mapped); }

__forceinline__ void store_cluster(u32 mapped, u32 value) {
  emu::store_cluster(mapped, value, false);
}

__forceinline__ void reduce_add_cluster(u32 mapped, u32 value) {
  emu::store_cluster(mapped, value, true);
}

__forceinline__ void store_async(u32 mapped, u32 value, u32 mapped_barrier) {
  emu::store_async(mapped, {value}, mapped_barrier);
}

__forceinline__ void store_async(u32 mapped, u32 x, u32 y, u32 z, u32 w, u32 mapped_barrier) {
  emu::store_async(mapped, {x, y, z, w}, mapped_barrier);
}

}  // namespace jdg::ptx
