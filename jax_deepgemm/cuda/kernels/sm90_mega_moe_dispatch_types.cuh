// Configuration, parameters and shared memory of the exchange of rows between ranks.
#pragma once

#include "common/grid_barrier.cuh"
#include "common/math.cuh"

namespace jdg {

// Mirrors `Sm90MegaMoeDispatchConfig` in heuristics/sm90_mega_moe_dispatch.py.
struct Sm90MegaMoeDispatchConfig {
  int num_warps;
  int max_experts;
  int pieces_in_flight;  // Of 16 bytes, that a thread loads before it stores the first.
  bool has_scales;       // Rows are e4m3 with a scale per 128 columns, else bfloat16.
};

struct Sm90MegaMoeDispatchParams {
  const u8* rows;         // [num_rows, row_bytes].
  const float* scales;    // [num_rows, num_scales].
  const int* experts;     // [num_rows, top_k], any value.
  const float* weights;   // The same shape.
  const int* num_tokens;  // Rows that count, any value; null: all.
  SymmetricArena* arena;
  int* places;               // [num_rows, top_k]: rows of the experts' pools, -1 for none.
  int* group_sizes;          // [experts_per_rank]: rows of this rank's pool.
  float* transposed_scales;  // [num_scales, capacity].
  u64* row_addresses;        // [capacity]: where results of this rank's rows go; 0: nowhere.
  u32* cta_counts;           // [CTAs, num_experts]: no values go in or out.
  u32 num_rows;
  u32 top_k;
  u32 num_experts;
  u32 num_ranks;
  u32 row_bytes;     // A multiple of 128,
  u32 result_bytes;  // and so is this.
  u32 num_scales;
  u32 capacity;    // Rows of a pool, a multiple of 4.
  u32 num_slots;   // Of a rank's choices; those of all ranks fit 32 bits.
  u32 shape_hash;  // The same on ranks that can understand each other.
  // From the arena's begin:
  u64 counts_offset;   // u32 [num_ranks, counts_pitch]: rows to each expert, then the hash.
  u64 flags_offset;    // u32 [3, kMaxArenaRanks].
  u64 rows_offset;     // [capacity, row_bytes].
  u64 scales_offset;   // float [capacity, num_scales].
  u64 weights_offset;  // float [capacity].
  u64 sources_offset;  // u32 [capacity]: rank * num_slots + slot.
  u64 results_offset;  // [num_slots, result_bytes].
};

template <Sm90MegaMoeDispatchConfig kConfig>
struct Sm90MegaMoeDispatchTraits {
  static constexpr u32 kNumWarps = kConfig.num_warps;
  static constexpr u32 kNumThreads = kNumWarps * 32;
  static constexpr u32 kMaxExperts = kConfig.max_experts;
  static_assert(kNumThreads >= kMaxArenaRanks, "a thread waits for each rank");

  struct alignas(16) Smem {
    // Of each warp: how many choices it has of an expert, then those of the CTA's warps before it,
    // then where its next one goes.
    u32 next[kNumWarps][kMaxExperts];
    u32 starts[kMaxExperts];  // Where the CTA's first choice of an expert goes.
    u32 totals[kMaxExperts];  // Of all ranks.
    u64 peers[kMaxArenaRanks];
    u32 num_rows;  // Of this rank's pool.
    u32 epoch;
    u32 rank;
    u32 is_last;
    bool has_failed;
  };
};

// What the parts of the kernel know of a launch.
struct MegaMoeTokens {
  u32 count;  // That have choices.
  u32 begin;  // This warp's.
  u32 end;
};

// Words of a rank's counts.
__device__ __forceinline__ u32 counts_pitch(u32 num_experts) { return (num_experts + 4) / 4 * 4; }

// The counts that `source` sent to the rank of `arena`.
__device__ __forceinline__ u32* counts_of(const Sm90MegaMoeDispatchParams& params, void* arena,
                                          u32 source) {
  u32* counts = reinterpret_cast<u32*>(static_cast<u8*>(arena) + params.counts_offset);
  return counts + source * counts_pitch(params.num_experts);
}

}  // namespace jdg
