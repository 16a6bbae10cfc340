// Configuration, parameters and shared memory of the sum of experts' results.
#pragma once

#include "common/arena_flags.cuh"

namespace jdg {

// Mirrors `Sm90MegaMoeCombineConfig` in heuristics/sm90_mega_moe_combine.py.
struct Sm90MegaMoeCombineConfig {
  int num_warps;
  int slots_in_flight;  // Pieces of 16 bytes that a thread loads before it adds the first.
};

struct Sm90MegaMoeCombineParams {
  const int* places;      // [num_rows, top_k]: rows of pools, or none; any value.
  const int* num_tokens;  // Rows that have a result, any value; null: all.
  SymmetricArena* arena;
  u8* sums;      // bfloat16 [num_rows, num_columns].
  u32 num_rows;  // In all, rows have fewer than 2^31 pieces of 256 columns.
  u32 top_k;
  u32 num_ranks;
  u32 num_columns;  // A multiple of 128.
  u32 capacity;     // Rows of a pool.
  // From the arena's begin:
  u64 flags_offset;    // u32 [3, kMaxArenaRanks].
  u64 results_offset;  // bfloat16 [num_rows or more, top_k, num_columns].
};

template <Sm90MegaMoeCombineConfig kConfig>
struct Sm90MegaMoeCombineTraits {
  static constexpr u32 kNumThreads = kConfig.num_warps * 32;
  static_assert(kNumThreads >= kMaxArenaRanks, "a thread waits for each rank");

  struct alignas(16) Smem {
    u32 epoch;
    bool has_failed;
  };
};

}  // namespace jdg
