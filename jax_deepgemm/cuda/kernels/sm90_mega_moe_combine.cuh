// The results of each token's choices, which their experts' ranks have put here, summed in float32.
//
// A warp has 256 columns of a token. It loads the pieces of several slots before it adds them, one
// after the other in the order of slots: a sum is the same in every run.
#pragma once

#include "kernels/sm90_mega_moe_combine_types.cuh"
#include "ptx/copy.cuh"
#include "ptx/sync.cuh"
#include "ptx/warp.cuh"

namespace jdg {

template <Sm90MegaMoeCombineConfig kConfig>
struct Sm90MegaMoeCombine {
  using Traits = Sm90MegaMoeCombineTraits<kConfig>;
  using Params = Sm90MegaMoeCombineParams;
  using Smem = typename Traits::Smem;
  static constexpr int kNumThreads = Traits::kNumThreads;

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(16) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    ptx::wait_for_previous_kernel();
    const ArenaCall call = begin(params, smem);
    const bool ok = await_results(params, smem, call);
    ptx::launch_next_kernel();
    const u32 num_tokens = count_tokens(params);
    const u32 tiles_along = (params.num_columns + kTileColumns - 1) / kTileColumns;
    const u32 num_tiles = params.num_rows * tiles_along;
    const u32 num_warps = gridDim.x * kConfig.num_warps;
    u32 tile = blockIdx.x * kConfig.num_warps + threadIdx.x / 32;
#pragma unroll 1
    for (; tile < num_tiles; tile += num_warps) {
      const u32 token = tile / tiles_along;
      const u32 column = tile % tiles_along * kTileColumns + threadIdx.x % 32 * 8;
      const uint4 sum = ok ? sum_of(params, token, column, token < num_tokens) : kNan;
      if (column >= params.num_columns) continue;
      const u64 first = static_cast<u64>(token) * params.num_columns + column;
      *reinterpret_cast<uint4*>(params.sums + first * 2) = sum;
    }
  }

 private:
  static constexpr u32 kTileColumns = 256;
  static constexpr u32 kInFlight = kConfig.slots_in_flight;
  static constexpr uint4 kNan = {~0u, ~0u, ~0u, ~0u};

  __device__ static __forceinline__ ArenaCall begin(const Params& params, Smem& smem) {
    SymmetricArena& arena = *params.arena;
    const ArenaCall call = {&arena, arena.rank, params.num_ranks, arena.epoch};
    if (threadIdx.x == 0) smem.has_failed = was_stopped(call, kResultsPhase);
    __syncthreads();
    return call;
  }

  // Kernels before this one sent what this rank's experts made. Returns whether all ranks did so.
  __device__ static __forceinline__ bool await_results(const Params& params, Smem& smem,
                                                       const ArenaCall& call) {
    if (smem.has_failed) return false;
    if (blockIdx.x == 0 && threadIdx.x == 0) raise_flags(call, params.flags_offset, kResultsPhase);
    __syncthreads();
    return wait_for_ranks(call, params.flags_offset, kResultsPhase, smem.has_failed);
  }

  __device__ static __forceinline__ u32 count_tokens(const Params& params) {
    if (params.num_tokens == nullptr) return params.num_rows;
    return min(static_cast<u32>(max(*params.num_tokens, 0)), params.num_rows);
  }

  // Eight columns of a token, zeros if it does not count or has no choice.
  __device__ static __forceinline__ uint4 sum_of(const Params& params, u32 token, u32 column,
                                                 bool counts) {
    const u32 has_result = ptx::vote_ballot(counts && has_place(params, token));
    const u64 first_slot = static_cast<u64>(token) * params.top_k;
    const u8* results = reinterpret_cast<const u8*>(params.arena) + params.results_offset +
                        first_slot * params.num_columns * 2;
    float sum[8] = {};
#pragma unroll 1
    for (u32 first = 0; first < params.top_k; first += kInFlight) {
      uint4 pieces[kInFlight];
      bool exists[kInFlight];
#pragma unroll
      for (u32 i = 0; i < kInFlight; ++i) {
        exists[i] = has_result >> (first + i) & 1 && column < params.num_columns;
        const u64 at = (static_cast<u64>(first + i) * params.num_columns + column) * 2;
        if (exists[i]) pieces[i] = *reinterpret_cast<const uint4*>(results + at);
      }
#pragma unroll
      for (u32 i = 0; i < kInFlight; ++i) {
        if (exists[i]) add(sum, pieces[i]);
      }
    }
    return {ptx::pack_bfloat16(sum[0], sum[1]), ptx::pack_bfloat16(sum[2], sum[3]),
            ptx::pack_bfloat16(sum[4], sum[5]), ptx::pack_bfloat16(sum[6], sum[7])};
  }

  // Whether the lane's slot has a row in some pool, and so a result.
  __device__ static __forceinline__ bool has_place(const Params& params, u32 token) {
    const u32 slot = threadIdx.x % 32;
    if (slot >= params.top_k) return false;
    const u64 index = static_cast<u64>(token) * params.top_k + slot;
    return static_cast<u32>(params.places[index]) < params.capacity;
  }

  __device__ static __forceinline__ void add(float (&sum)[8], uint4 piece) {
    const u32 words[4] = {piece.x, piece.y, piece.z, piece.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sum[i * 2] += __uint_as_float(words[i] << 16);
      sum[i * 2 + 1] += __uint_as_float(words[i] & 0xFFFF0000);
    }
  }
};

}  // namespace jdg
