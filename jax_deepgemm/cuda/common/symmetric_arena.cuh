// The head of a symmetric arena: memory of one size and layout on every rank of a group, which all
// of them can reach. The host writes it; primitives and tests mirror the offsets.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

constexpr u32 kArenaMagic = 0x4A444741;
constexpr u32 kMaxArenaRanks = 64;

struct SymmetricArena {
  u32 magic;
  u32 rank;
  u32 num_ranks;
  u32 abort;         // 0, or why calls end without a result until the host resets the arena.
  u64 timeout_ns;    // Of each wait for another rank.
  u64 status_board;  // This rank's StatusRecord in host memory, or 0.
  u32 epoch;         // Of the last call.
  u32 grid_barrier;  // 0 between kernels.
  u32 reserved[6];
  u64 peers[kMaxArenaRanks];  // Every rank's arena at this device's addresses.
};
static_assert(sizeof(SymmetricArena) == 576);

// What went wrong first, for the host. `code` is written last.
struct StatusRecord {
  u32 code;
  u32 rank;
  u32 epoch;
  u32 phase;
  u32 awaited_rank;
  u32 seen;
  u32 expected;
  u32 reserved[9];
};
static_assert(sizeof(StatusRecord) == 64);

}  // namespace jdg
