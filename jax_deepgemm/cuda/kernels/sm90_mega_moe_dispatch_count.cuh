// How many choices each expert has: of a warp, of the warps and CTAs before it, and of each rank.
#pragma once

#include "common/row_groups.cuh"
#include "kernels/sm90_mega_moe_dispatch_types.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// A warp's choices are looked at in batches of whole tokens, a lane for each slot. Lanes without a
// choice, or with one of an expert that does not exist, have kNoExpert.
constexpr u32 kNoExpert = ~0u;

__device__ __forceinline__ u32 expert_of_lane(const Sm90MegaMoeDispatchParams& params,
                                              const MegaMoeTokens& tokens, u32 first_token) {
  const u32 lane = threadIdx.x % 32;
  const u32 token = first_token + lane / params.top_k;
  const bool is_choice = lane < 32 / params.top_k * params.top_k && token < tokens.end;
  if (!is_choice) return kNoExpert;
  const int expert = params.experts[static_cast<u64>(first_token) * params.top_k + lane];
  // Negative ones are large without a sign.
  return static_cast<u32>(expert) < params.num_experts ? expert : kNoExpert;
}

// Lanes before this one among `lanes`.
__device__ __forceinline__ u32 num_before(u32 lanes) {
  return __popc(lanes & ((1u << threadIdx.x % 32) - 1));
}

template <Sm90MegaMoeDispatchConfig kConfig>
struct Sm90MegaMoeDispatchCount {
  using Traits = Sm90MegaMoeDispatchTraits<kConfig>;
  using Params = Sm90MegaMoeDispatchParams;
  using Smem = typename Traits::Smem;

  // Fills `next` with how many choices of an expert the CTA's warps before one have, and the CTA's
  // row of `cta_counts` with how many all have.
  __device__ static __forceinline__ void run(const Params& params, Smem& smem,
                                             const MegaMoeTokens& tokens) {
    u32* counts = smem.next[threadIdx.x / 32];
    const u32 step = 32 / params.top_k;
#pragma unroll 1
    for (u32 token = tokens.begin; token < tokens.end; token += step) {
      const u32 expert = expert_of_lane(params, tokens, token);
      const u32 lanes = ptx::match_any(expert);
      if (expert != kNoExpert && num_before(lanes) == 0) counts[expert] += __popc(lanes);
      __syncwarp();
    }
    __syncthreads();
    for (u32 e = threadIdx.x; e < params.num_experts; e += Traits::kNumThreads) {
      u32 before = 0;
#pragma unroll
      for (u32 warp = 0; warp < Traits::kNumWarps; ++warp) {
        const u32 count = smem.next[warp][e];
        smem.next[warp][e] = before;
        before += count;
      }
      params.cta_counts[static_cast<u64>(blockIdx.x) * params.num_experts + e] = before;
    }
  }

  // Every CTA has written its row. Rows become sums over the CTAs before, and every rank is told
  // this one's totals. A warp has an expert.
  __device__ static __forceinline__ void exchange(const Params& params, const Smem& smem,
                                                  u32 own_rank) {
    const u32 warp = threadIdx.x / 32 * gridDim.x + blockIdx.x;
#pragma unroll 1
    for (u32 e = warp; e < params.num_experts; e += gridDim.x * Traits::kNumWarps) {
      const u32 total = scan_column(params, e);
      tell(params, smem, own_rank, e, total);
    }
    if (blockIdx.x == 0 && threadIdx.x < 32) {
      tell(params, smem, own_rank, params.num_experts, params.shape_hash);
    }
  }

 private:
  // Counts of a lane that are on their way at once: those of a whole H200.
  static constexpr u32 kRounds = 5;

  // Returns the sum of an expert's counts, each of which becomes the sum of those before.
  __device__ static __forceinline__ u32 scan_column(const Params& params, u32 expert) {
    const u32 lane = threadIdx.x % 32;
    u32* column = params.cta_counts + expert;
    u32 total = 0;
#pragma unroll 1
    for (u32 first = lane; first < gridDim.x + lane; first += 32 * kRounds) {
      u32 own[kRounds];
#pragma unroll
      for (u32 i = 0; i < kRounds; ++i) {
        const u32 cta = first + i * 32;
        own[i] = cta < gridDim.x ? column[static_cast<u64>(cta) * params.num_experts] : 0;
      }
#pragma unroll
      for (u32 i = 0; i < kRounds; ++i) {
        const u32 cta = first + i * 32;
        const u32 sum = prefix_sum(own[i], lane, ~0u);
        if (cta < gridDim.x) {
          column[static_cast<u64>(cta) * params.num_experts] = total + sum - own[i];
        }
        total += ptx::shuffle(sum, 31);
      }
    }
    return total;
  }

  // A warp writes word i of this rank's counts at every rank.
  __device__ static __forceinline__ void tell(const Params& params, const Smem& smem, u32 own_rank,
                                              u32 i, u32 value) {
    for (u32 rank = threadIdx.x % 32; rank < params.num_ranks; rank += 32) {
      counts_of(params, reinterpret_cast<void*>(smem.peers[rank]), own_rank)[i] = value;
    }
  }
};

}  // namespace jdg
