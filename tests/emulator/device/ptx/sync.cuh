// Stands in for cuda/ptx/sync.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ u32 cluster_cta_rank() { return emu::cluster_rank(); }

__forceinline__ void cluster_arrive() { emu::cluster_arrive(); }

// More orderly than a GPU: what was written before is there.
__forceinline__ void cluster_arrive_relaxed() { emu::cluster_arrive(); }

__forceinline__ void cluster_wait() { emu::cluster_wait(); }

template <u32 kCount>
__forceinline__ void release_registers() {
  emu::change_registers(false, kCount);
}

template <u32 kCount>
__forceinline__ void acquire_registers() {
  emu::change_registers(true, kCount);
}

__forceinline__ void wait_for_previous_kernel() { emu::wait_for_previous_kernel(); }

__forceinline__ void launch_next_kernel() { emu::launch_next_kernel(); }

}  // namespace jdg::ptx
