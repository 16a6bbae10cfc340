// Flags by which ranks tell each other how far a call is.
//
// Rank r's arena has a word for each phase and source rank: the last call whose phase the source
// has finished. Words only grow, modulo 2^32.
//
// No barrier ends a call. A rank is sent the next call's counts and rows only by ranks that saw its
// kResultsPhase, which it raises when it has read those of this call; and results of the next call
// only by ranks that saw its kCountsPhase of that call, which it raises when its sums of this one
// are done. Calls on one arena must follow each other on each device.
#pragma once

#include "common/arena_fault.cuh"

namespace jdg {

// Beside a number below kMaxArenaRanks, the source.
constexpr u32 kCountsPhase = 1;   // What each rank sends to each expert is known.
constexpr u32 kRowsPhase = 2;     // The rows are there.
constexpr u32 kResultsPhase = 3;  // The experts' results are there.

// Polls between two looks at the clock and at the word that says to stop.
constexpr u32 kPollsAtOnce = 64;

__device__ __forceinline__ u32* flag_of(void* arena, u64 flags_offset, u32 phase, u32 source) {
  u32* flags = reinterpret_cast<u32*>(static_cast<u8*>(arena) + flags_offset);
  return flags + (phase - 1) * kMaxArenaRanks + source;
}

// One thread tells every rank, its own included, that what it has seen done is done.
__device__ __forceinline__ void raise_flags(const ArenaCall& call, u64 flags_offset, u32 phase) {
  ptx::fence_system();
  for (u32 rank = 0; rank < call.num_ranks; ++rank) {
    ptx::store_system(flag_of(arena_of(call, rank), flags_offset, phase, call.rank), call.epoch);
  }
}

// Whether `source` finished the phase; if not, the fault is reported.
__device__ __forceinline__ bool wait_for_rank(const ArenaCall& call, u64 flags_offset, u32 phase,
                                              u32 source) {
  const u32* flag = flag_of(call.arena, flags_offset, phase, source);
  const u64 timeout = call.arena->timeout_ns;
  const u64 start = ptx::global_timer();
#pragma unroll 1
  for (u32 polls = 1;; ++polls) {
    const u32 seen = ptx::load_acquire_system(flag);
    if (static_cast<int>(seen - call.epoch) >= 0) return true;
    if (polls % kPollsAtOnce != 0) continue;
    if (!is_stopped(call) && ptx::global_timer() - start <= timeout) continue;
    report(call, {kTimedOut, phase, source, seen, call.epoch});
    return false;
  }
}

// All threads of a CTA, no fewer than ranks: whether all ranks finished the phase. `has_failed` is
// in shared memory, and stays true once it is.
__device__ __forceinline__ bool wait_for_ranks(const ArenaCall& call, u64 flags_offset, u32 phase,
                                               bool& has_failed) {
  if (threadIdx.x < call.num_ranks && !wait_for_rank(call, flags_offset, phase, threadIdx.x)) {
    has_failed = true;
  }
  __syncthreads();
  return !has_failed;
}

}  // namespace jdg
