// Stands in for cuda/ptx/named_barrier.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void barrier_sync(u32 id, u32 threads) { emu::named_barrier(id, threads, true); }

__forceinline__ void barrier_arrive(u32 id, u32 threads) { emu::named_barrier(id, threads, false); }

}  // namespace jdg::ptx
