// Rows, scales and weights go where their experts are.
#pragma once

#include "kernels/sm90_mega_moe_dispatch_count.cuh"

namespace jdg {

template <Sm90MegaMoeDispatchConfig kConfig>
struct Sm90MegaMoeDispatchPush {
  using Traits = Sm90MegaMoeDispatchTraits<kConfig>;
  using Params = Sm90MegaMoeDispatchParams;
  using Smem = typename Traits::Smem;

  // A warp copies the rows of its tokens, each to all of the token's experts.
  __device__ static __forceinline__ void run(const Params& params, Smem& smem,
                                             const MegaMoeTokens& tokens) {
    const u32 step = 32 / params.top_k;
#pragma unroll 1
    for (u32 token = tokens.begin; token < tokens.end; token += step) {
      const Choice choice = place(params, smem, tokens, token);
      const u32 count = min(step, tokens.end - token);
#pragma unroll 1
      for (u32 i = 0; i < count; ++i) copy_token(params, smem, token + i, i, choice);
    }
  }

 private:
  // Of a lane. Without a place, or with one that no pool has, `row` is kNoRow.
  struct Choice {
    u32 rank;
    u32 row;
  };
  static constexpr u32 kNoRow = ~0u;

  __device__ static __forceinline__ Choice place(const Params& params, Smem& smem,
                                                 const MegaMoeTokens& tokens, u32 token) {
    u32* next = smem.next[threadIdx.x / 32];
    const u32 lane = threadIdx.x % 32;
    const u32 expert = expert_of_lane(params, tokens, token);
    const u32 lanes = ptx::match_any(expert);
    const u32 before = num_before(lanes);
    Choice choice = {0, kNoRow};
    if (expert != kNoExpert) {
      const u32 row = next[expert] + before;
      choice.rank = expert / (params.num_experts / params.num_ranks);
      if (row < params.capacity) choice.row = row;
    }
    __syncwarp();
    if (expert != kNoExpert && before == 0) next[expert] += __popc(lanes);
    __syncwarp();
    if (lane < 32 / params.top_k * params.top_k && token + lane / params.top_k < tokens.end) {
      const u64 index = static_cast<u64>(token) * params.top_k + lane;
      params.places[index] = static_cast<int>(choice.row);
      if (choice.row != kNoRow) {
        u8* arena = reinterpret_cast<u8*>(smem.peers[choice.rank]);
        reinterpret_cast<float*>(arena + params.weights_offset)[choice.row] = params.weights[index];
        const u32 source = smem.rank * params.num_slots + static_cast<u32>(index);
        reinterpret_cast<u32*>(arena + params.sources_offset)[choice.row] = source;
      }
    }
    return choice;
  }

  // The token is the `index`-th of its batch.
  __device__ static __forceinline__ void copy_token(const Params& params, const Smem& smem,
                                                    u32 token, u32 index, const Choice& choice) {
    const u64 row = static_cast<u64>(token) * params.row_bytes;
    const uint4* pieces = reinterpret_cast<const uint4*>(params.rows + row);
    const u32 num_pieces = params.row_bytes / 16;
#pragma unroll 1
    for (u32 first = 0; first < num_pieces; first += 32 * kInFlight) {
      const u32 piece = first + threadIdx.x % 32;
      uint4 loaded[kInFlight];
#pragma unroll
      for (u32 i = 0; i < kInFlight; ++i) {
        if (piece + i * 32 < num_pieces) loaded[i] = pieces[piece + i * 32];
      }
      for_each_target(params, smem, index, choice, [&](u8* arena, u32 target) {
        uint4* stored = reinterpret_cast<uint4*>(arena + params.rows_offset +
                                                 static_cast<u64>(target) * params.row_bytes);
#pragma unroll
        for (u32 i = 0; i < kInFlight; ++i) {
          if (piece + i * 32 < num_pieces) stored[piece + i * 32] = loaded[i];
        }
      });
    }
    if constexpr (kConfig.has_scales) copy_scales(params, smem, token, index, choice);
  }

  __device__ static __forceinline__ void copy_scales(const Params& params, const Smem& smem,
                                                     u32 token, u32 index, const Choice& choice) {
    const float* scales = params.scales + static_cast<u64>(token) * params.num_scales;
#pragma unroll 1
    for (u32 first = 0; first < params.num_scales; first += 32) {
      const u32 i = first + threadIdx.x % 32;
      const float scale = i < params.num_scales ? scales[i] : 0.0f;
      for_each_target(params, smem, index, choice, [&](u8* arena, u32 target) {
        float* stored = reinterpret_cast<float*>(arena + params.scales_offset) +
                        static_cast<u64>(target) * params.num_scales;
        if (i < params.num_scales) stored[i] = scale;
      });
    }
  }

  // Calls `store(arena, row)` for each place of the batch's `index`-th token.
  template <typename Store>
  __device__ static __forceinline__ void for_each_target(const Params& params, const Smem& smem,
                                                         u32 index, const Choice& choice,
                                                         Store store) {
#pragma unroll 1
    for (u32 slot = 0; slot < params.top_k; ++slot) {
      const u32 lane = index * params.top_k + slot;
      const u32 row = ptx::shuffle(choice.row, lane);
      const u32 rank = ptx::shuffle(choice.rank, lane);
      if (row != kNoRow) store(reinterpret_cast<u8*>(smem.peers[rank]), row);
    }
  }

  static constexpr u32 kInFlight = kConfig.pieces_in_flight;
};

}  // namespace jdg
