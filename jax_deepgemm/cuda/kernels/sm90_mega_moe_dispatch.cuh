// Rows of tokens go to the ranks of their experts, into pools that are sorted by expert.
//
// Places follow from counts alone, never from who comes first: CTAs and warps have consecutive
// tokens, and know how many choices of an expert those before them have. So a pool is the same in
// every run. Ranks tell each other their counts, then push their rows, and each of the two is over
// when all ranks have said so (common/arena_flags.cuh).
#pragma once

#include "kernels/sm90_mega_moe_dispatch_addresses.cuh"
#include "kernels/sm90_mega_moe_dispatch_places.cuh"
#include "kernels/sm90_mega_moe_dispatch_push.cuh"
#include "kernels/sm90_mega_moe_dispatch_scales.cuh"
#include "ptx/sync.cuh"

namespace jdg {

template <Sm90MegaMoeDispatchConfig kConfig>
struct Sm90MegaMoeDispatch {
  using Traits = Sm90MegaMoeDispatchTraits<kConfig>;
  using Params = Sm90MegaMoeDispatchParams;
  using Smem = typename Traits::Smem;
  using Count = Sm90MegaMoeDispatchCount<kConfig>;
  using Places = Sm90MegaMoeDispatchPlaces<kConfig>;
  using Scales = Sm90MegaMoeDispatchScales<kConfig>;
  using Addresses = Sm90MegaMoeDispatchAddresses<kConfig>;
  using Push = Sm90MegaMoeDispatchPush<kConfig>;
  static constexpr int kNumThreads = Traits::kNumThreads;

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(16) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    ptx::wait_for_previous_kernel();
    const ArenaCall call = begin(params, smem);
    const MegaMoeTokens tokens = tokens_of_warp(params);
    const bool is_done = send(params, smem, call, tokens);
    ptx::launch_next_kernel();
    if (is_done) {
      Addresses::find(params, smem, call);
      if constexpr (kConfig.has_scales) Scales::transpose(params, smem, call);
    } else {
      forget_places(params, tokens);
    }
    end(params, smem, call);
  }

 private:
  // Arrivals of each CTA at the grid's barrier.
  static constexpr u32 kCounted = 1;
  static constexpr u32 kExchanged = 2;
  static constexpr u32 kPushed = 3;
  static constexpr u32 kEnded = 4;

  __device__ static __forceinline__ ArenaCall begin(const Params& params, Smem& smem) {
    SymmetricArena& arena = *params.arena;
    for (u32 e = threadIdx.x % 32; e < params.num_experts; e += 32) {
      smem.next[threadIdx.x / 32][e] = 0;
    }
    if (threadIdx.x < params.num_ranks) smem.peers[threadIdx.x] = arena.peers[threadIdx.x];
    if (threadIdx.x == 0) {
      smem.epoch = arena.epoch + 1;
      smem.rank = arena.rank;
      const ArenaCall call = {&arena, arena.rank, params.num_ranks, smem.epoch};
      smem.has_failed = was_stopped(call, kCountsPhase);
    }
    __syncthreads();
    return {&arena, arena.rank, params.num_ranks, smem.epoch};
  }

  // CTAs have consecutive tokens, and so have their warps.
  __device__ static __forceinline__ MegaMoeTokens tokens_of_warp(const Params& params) {
    u32 count = params.num_rows;
    if (params.num_tokens != nullptr) {
      count = min(static_cast<u32>(max(*params.num_tokens, 0)), count);
    }
    const u32 per_cta = (count + gridDim.x - 1) / gridDim.x;
    const u32 per_warp = (per_cta + Traits::kNumWarps - 1) / Traits::kNumWarps;
    const u32 cta_begin = min(blockIdx.x * per_cta, count);
    const u32 cta_end = min(cta_begin + per_cta, count);
    const u32 begin = min(cta_begin + threadIdx.x / 32 * per_warp, cta_end);
    return {count, begin, min(begin + per_warp, cta_end)};
  }

  // Returns whether all rows of this rank's pool are there. Each CTA arrives three times.
  __device__ static __forceinline__ bool send(const Params& params, Smem& smem,
                                              const ArenaCall& call, const MegaMoeTokens& tokens) {
    bool ok = !smem.has_failed;
    if (ok) Count::run(params, smem, tokens);
    arrive_at_grid(call);
    ok = ok && wait_for_grid(call, kCounted, smem.has_failed);
    if (ok) Count::exchange(params, smem, call.rank);
    arrive_and_tell(params, call, kExchanged, kCountsPhase);
    // This rank's own flag says that all of its CTAs have arrived.
    ok = ok && wait_for_ranks(call, params.flags_offset, kCountsPhase, smem.has_failed) &&
         Places::run(params, smem, call);
    if (ok) {
      Push::run(params, smem, tokens);
      mark_missing(params, tokens);
    }
    arrive_and_tell(params, call, kPushed, kRowsPhase);
    return ok && wait_for_ranks(call, params.flags_offset, kRowsPhase, smem.has_failed);
  }

  // After the last CTA's arrival all ranks are told, unless the call was stopped.
  __device__ static __forceinline__ void arrive_and_tell(const Params& params,
                                                         const ArenaCall& call, u32 arrival,
                                                         u32 phase) {
    const u32 before = arrive_at_grid(call);
    if (threadIdx.x != 0 || !is_last_arrival(before, arrival)) return;
    if (!is_stopped(call)) raise_flags(call, params.flags_offset, phase);
  }

  // Tokens that do not count have no places.
  __device__ static __forceinline__ void mark_missing(const Params& params,
                                                      const MegaMoeTokens& tokens) {
    const u64 end = static_cast<u64>(params.num_rows) * params.top_k;
    u64 i = static_cast<u64>(tokens.count) * params.top_k + blockIdx.x * kNumThreads + threadIdx.x;
    for (; i < end; i += gridDim.x * kNumThreads) params.places[i] = -1;
  }

  __device__ static __forceinline__ void forget_places(const Params& params,
                                                       const MegaMoeTokens& tokens) {
    mark_missing(params, tokens);
    const u64 end = static_cast<u64>(tokens.end) * params.top_k;
    u64 i = static_cast<u64>(tokens.begin) * params.top_k + threadIdx.x % 32;
    for (; i < end; i += 32) params.places[i] = -1;
  }

  // The last CTA says how many rows there are, none if the call was stopped, and readies the arena
  // for the next call.
  __device__ static __forceinline__ void end(const Params& params, Smem& smem,
                                             const ArenaCall& call) {
    const u32 before = arrive_at_grid(call);
    if (threadIdx.x == 0) {
      smem.is_last = is_last_arrival(before, kEnded);
      if (smem.is_last) smem.has_failed = is_stopped(call);
    }
    __syncthreads();
    if (!smem.is_last) return;
    const u32 num_local = params.num_experts / params.num_ranks;
    for (u32 e = threadIdx.x; e < num_local; e += kNumThreads) {
      params.group_sizes[e] = smem.has_failed ? 0 : smem.totals[call.rank * num_local + e];
    }
    if (threadIdx.x == 0) {
      call.arena->grid_barrier = 0;
      call.arena->epoch = call.epoch;
    }
  }
};

}  // namespace jdg
