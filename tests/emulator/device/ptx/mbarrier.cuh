// Stands in for cuda/ptx/mbarrier.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void mbarrier_init(Mbarrier& barrier, u32 arrivals) {
  emu::barrier_init(smem_address(&barrier), arrivals);
}

__forceinline__ void mbarrier_init_fence() { emu::barrier_init_fence(); }

__forceinline__ void mbarrier_arrive(Mbarrier& barrier) {
  emu::barrier_arrive(smem_address(&barrier), 0);
}

__forceinline__ void mbarrier_arrive_remote(Mbarrier& barrier, u32 rank) {
  emu::barrier_arrive_remote(smem_address(&barrier), rank);
}

__forceinline__ void mbarrier_arrive_expect_tx(Mbarrier& barrier, u32 bytes) {
  emu::barrier_arrive(smem_address(&barrier), bytes);
}

__forceinline__ bool mbarrier_try_wait(Mbarrier& barrier, u32 parity) {
  return emu::barrier_try(smem_address(&barrier), parity);
}

__forceinline__ bool mbarrier_test_wait(Mbarrier& barrier, u32 parity) {
  return emu::barrier_test(smem_address(&barrier), parity);
}

}  // namespace jdg::ptx
