// Where each choice goes: pools are sorted by expert, then by source rank, token and slot.
#pragma once

#include "kernels/sm90_mega_moe_dispatch_count.cuh"

namespace jdg {

template <Sm90MegaMoeDispatchConfig kConfig>
struct Sm90MegaMoeDispatchPlaces {
  using Traits = Sm90MegaMoeDispatchTraits<kConfig>;
  using Params = Sm90MegaMoeDispatchParams;
  using Smem = typename Traits::Smem;

  // All ranks' counts are there. Fills `totals`, and makes `next` the row of the warp's next choice
  // of an expert. Returns whether all ranks' shapes are the same.
  __device__ static __forceinline__ bool run(const Params& params, Smem& smem,
                                             const ArenaCall& call) {
    // Until here threads read whether the wait failed.
    __syncthreads();
    check_shapes(params, smem, call);
    for (u32 e = threadIdx.x; e < params.num_experts; e += Traits::kNumThreads) {
      sum_over_ranks(params, smem, call, e);
    }
    __syncthreads();
    if (smem.has_failed) return false;
    const u32 warp = threadIdx.x / 32;
    for (u32 rank = warp; rank < params.num_ranks; rank += Traits::kNumWarps) {
      scan_experts(params, smem, rank, rank == call.rank);
    }
    __syncthreads();
    for (u32 e = threadIdx.x; e < params.num_experts; e += Traits::kNumThreads) {
#pragma unroll
      for (u32 i = 0; i < Traits::kNumWarps; ++i) smem.next[i][e] += smem.starts[e];
    }
    __syncthreads();
    return true;
  }

 private:
  __device__ static __forceinline__ void check_shapes(const Params& params, Smem& smem,
                                                      const ArenaCall& call) {
    if (threadIdx.x >= params.num_ranks) return;
    const u32 hash = counts_of(params, call.arena, threadIdx.x)[params.num_experts];
    if (hash == params.shape_hash) return;
    report(call, {kShapesDiffer, kCountsPhase, threadIdx.x, hash, params.shape_hash});
    smem.has_failed = true;
  }

  // `starts` counts rows of the same expert from ranks before this one and from CTAs before it.
  __device__ static __forceinline__ void sum_over_ranks(const Params& params, Smem& smem,
                                                        const ArenaCall& call, u32 expert) {
    u32 total = 0;
    u32 before = 0;
#pragma unroll 4
    for (u32 rank = 0; rank < params.num_ranks; ++rank) {
      // No more than fit, whatever another rank says.
      const u32 count = min(counts_of(params, call.arena, rank)[expert], params.capacity);
      if (rank < call.rank) before += count;
      total += count;
    }
    const u64 row = static_cast<u64>(blockIdx.x) * params.num_experts;
    smem.starts[expert] = before + params.cta_counts[row + expert];
    smem.totals[expert] = min(total, params.capacity);
  }

  // A warp adds to the `starts` of a rank's experts the rows of its experts before.
  __device__ static __forceinline__ void scan_experts(const Params& params, Smem& smem, u32 rank,
                                                      bool is_own) {
    const u32 lane = threadIdx.x % 32;
    const u32 num_local = params.num_experts / params.num_ranks;
    u32 rows = 0;
#pragma unroll 1
    for (u32 first = 0; first < num_local; first += 32) {
      const bool exists = first + lane < num_local;
      const u32 expert = rank * num_local + first + lane;
      const u32 own = exists ? smem.totals[expert] : 0;
      const u32 sum = min(rows + prefix_sum(own, lane, params.capacity), params.capacity);
      const u32 previous = ptx::shuffle(sum, lane - 1);
      const u32 before = lane == 0 ? rows : previous;
      if (exists) {
        smem.starts[expert] += before;
        // Groups end where the pool does.
        smem.totals[expert] = sum - before;
      }
      rows = ptx::shuffle(sum, 31);
    }
    if (is_own && lane == 0) smem.num_rows = rows;
  }
};

}  // namespace jdg
