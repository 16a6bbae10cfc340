// What ends a call that waits for other ranks in vain: a record for the host, and a word in every
// rank's arena that lets the others stop, too.
#pragma once

#include "common/symmetric_arena.cuh"
#include "ptx/system.cuh"

namespace jdg {

// Codes of a StatusRecord, and the low byte of SymmetricArena::abort.
constexpr u32 kTimedOut = 1;
constexpr u32 kPeerAborted = 2;
constexpr u32 kShapesDiffer = 3;
// In SymmetricArena::abort, beside the rank that stopped first in the second byte: this rank's
// record is being written.
constexpr u32 kRecorded = 1u << 31;

// Where a call stands.
struct ArenaCall {
  SymmetricArena* arena;
  u32 rank;
  u32 num_ranks;
  u32 epoch;
};

struct Fault {
  u32 code;
  u32 phase;
  u32 awaited_rank;
  u32 seen;
  u32 expected;
};

__device__ __forceinline__ SymmetricArena* arena_of(const ArenaCall& call, u32 rank) {
  return reinterpret_cast<SymmetricArena*>(call.arena->peers[rank]);
}

__device__ __forceinline__ bool is_stopped(const ArenaCall& call) {
  return ptx::load_acquire_system(&call.arena->abort) != 0;
}

__device__ __forceinline__ void write_record(const ArenaCall& call, const Fault& fault) {
  if (call.arena->status_board == 0) return;
  auto& record = *reinterpret_cast<StatusRecord*>(call.arena->status_board);
  record.rank = call.rank;
  record.epoch = call.epoch;
  record.phase = fault.phase;
  record.awaited_rank = fault.awaited_rank;
  record.seen = fault.seen;
  record.expected = fault.expected;
  ptx::fence_system();
  ptx::store_system(&record.code, fault.code);
}

// Tells this rank's host that another stopped with the word `abort`, unless it knows.
__device__ __forceinline__ void note_abort(const ArenaCall& call, u32 phase, u32 abort) {
  if ((abort & kRecorded) != 0) return;
  const u32 noted = abort | kRecorded;
  if (ptx::compare_and_swap_system(&call.arena->abort, abort, noted) != abort) return;
  write_record(call, {kPeerAborted, phase, abort >> 8 & 0xFF, abort, 0});
}

// At the begin of a kernel: whether it must not wait for anything.
__device__ __forceinline__ bool was_stopped(const ArenaCall& call, u32 phase) {
  const u32 abort = ptx::load_acquire_system(&call.arena->abort);
  if (abort != 0) note_abort(call, phase, abort);
  return abort != 0;
}

// This rank stops, and with it all others; of a rank that has stopped the first fault stays.
__device__ __forceinline__ void report(const ArenaCall& call, const Fault& fault) {
  const u32 mine = fault.code | call.rank << 8 | kRecorded;
  const u32 before = ptx::compare_and_swap_system(&call.arena->abort, 0, mine);
  if (before != 0) return note_abort(call, fault.phase, before);
  write_record(call, fault);
  for (u32 rank = 0; rank < call.num_ranks; ++rank) {
    if (rank == call.rank) continue;
    const u32 theirs = kPeerAborted | call.rank << 8;
    ptx::compare_and_swap_system(&arena_of(call, rank)->abort, 0, theirs);
  }
}

}  // namespace jdg
