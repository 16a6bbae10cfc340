// Stands in for cuda/ptx/mbarrier_count.cuh.
#pragma once

#include "ptx/mbarrier.cuh"

namespace jdg::ptx {

__forceinline__ void mbarrier_arrive(Mbarrier& barrier, u32 count) {
  emu::barrier_arrive_count(smem_address(&barrier), count);
}

__forceinline__ u64 mbarrier_arrive_no_complete(Mbarrier& barrier, u32 count) {
  return emu::barrier_arrive_no_complete(smem_address(&barrier), count);
}

__forceinline__ u32 mbarrier_pending_count(u64 state) { return static_cast<u32>(state); }

__forceinline__ void mbarrier_expect_tx(Mbarrier& barrier, u32 bytes) {
  emu::barrier_expect(smem_address(&barrier), bytes);
}

__forceinline__ void mbarrier_complete_tx(Mbarrier& barrier, u32 bytes) {
  emu::barrier_complete(smem_address(&barrier), bytes);
}

__forceinline__ void mbarrier_invalidate(Mbarrier& barrier) {
  emu::barrier_invalidate(smem_address(&barrier));
}

__forceinline__ void mbarrier_arrive_remote_release(Mbarrier& barrier, u32 rank) {
  emu::settle_remote_stores();
  emu::barrier_arrive_remote(smem_address(&barrier), rank);
}

__forceinline__ bool mbarrier_try_wait_cluster(Mbarrier& barrier, u32 parity) {
  return emu::barrier_try(smem_address(&barrier), parity);
}

}  // namespace jdg::ptx
