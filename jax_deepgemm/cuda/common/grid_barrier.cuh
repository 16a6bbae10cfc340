// Barriers of all CTAs of a launch that fit the device at once.
//
// Each CTA arrives kArrivals times at one counter in the arena, whatever goes wrong in between, and
// the last one overall clears it. A CTA arrives for the n-th time only after all have for the time
// before, unless the call was stopped.
#pragma once

#include "common/arena_flags.cuh"
#include "ptx/atomic.cuh"

namespace jdg {

// All threads: what the CTA did is done. Returns in the first thread how many arrivals came before
// this one, and the thread then sees what those CTAs did.
__device__ __forceinline__ u32 arrive_at_grid(const ArenaCall& call) {
  __syncthreads();
  if (threadIdx.x != 0) return 0;
  ptx::fence_system();
  const u32 before = ptx::atomic_add(&call.arena->grid_barrier, 1);
  ptx::fence_system();
  return before;
}

// The first thread: whether it is the last CTA's `arrival`-th arrival, counted from 1.
__device__ __forceinline__ bool is_last_arrival(u32 before, u32 arrival) {
  return before == gridDim.x * arrival - 1;
}

// All threads: whether all CTAs have arrived for the `arrival`-th time.
__device__ __forceinline__ bool wait_for_grid(const ArenaCall& call, u32 arrival,
                                              bool& has_failed) {
  if (threadIdx.x == 0) {
    const u64 timeout = call.arena->timeout_ns;
    const u64 start = ptx::global_timer();
#pragma unroll 1
    for (u32 polls = 1;; ++polls) {
      const u32 seen = ptx::load_acquire_gpu(&call.arena->grid_barrier);
      if (seen >= gridDim.x * arrival) break;
      if (polls % kPollsAtOnce != 0) continue;
      if (!is_stopped(call) && ptx::global_timer() - start <= timeout) continue;
      report(call, {kTimedOut, kCountsPhase, call.rank, seen, gridDim.x * arrival});
      has_failed = true;
      break;
    }
  }
  __syncthreads();
  return !has_failed;
}

}  // namespace jdg
