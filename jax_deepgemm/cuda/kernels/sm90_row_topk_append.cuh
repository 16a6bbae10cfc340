// Appending to an array in shared memory from all threads, in any order.
#pragma once

#include "ptx/atomic.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// For each of a thread's `chosen` writes `make(i)` to an element of its own behind `first`, and
// adds their number to `count`. All lanes of a warp call it; a warp takes its elements at once.
template <int kCount, typename Make>
__device__ __forceinline__ void append(u64* first, u32& count, const bool (&chosen)[kCount],
                                       const Make& make) {
  const u32 lane = threadIdx.x % 32;
  u32 votes[kCount];
  u32 total = 0;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    votes[i] = ptx::vote_ballot(chosen[i]);
    total += __popc(votes[i]);
  }
  if (total == 0) return;
  u32 next = 0;
  if (lane == 0) next = ptx::atomic_add_shared(ptx::smem_address(&count), total);
  next = ptx::shuffle(next, 0);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (chosen[i]) first[next + __popc(votes[i] & ((1u << lane) - 1))] = make(i);
    next += __popc(votes[i]);
  }
}

}  // namespace jdg
