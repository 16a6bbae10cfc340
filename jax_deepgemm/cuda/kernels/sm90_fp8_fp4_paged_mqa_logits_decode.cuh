// The decoding role of the Hopper paged MQA logits of FP4 vectors.
//
// Warps take tiles in turn, and a thread decodes two keys of one. All threads decode the queries,
// each some (row, head) pairs. A key's scale is that of its logits; a pair's goes into its weight,
// which is exact: it is a power of two.
#pragma once

#include "kernels/sm90_fp8_fp4_mqa_logits_vector.cuh"
#include "kernels/sm90_fp8_fp4_paged_mqa_logits_types.cuh"

namespace jdg {

template <Sm90Fp8Fp4PagedMqaLogitsConfig kConfig>
struct Sm90Fp8Fp4PagedMqaLogitsDecode {
  using Traits = Sm90Fp8Fp4PagedMqaLogitsTraits<kConfig>;
  using Decoded = typename Traits::Decoded;
  using Raw = typename Traits::Smem;
  using Vector = Fp4StageDecode<kConfig.head_dim>;
  static constexpr u32 kNumWarps = Traits::kNumDecodeWarps;

  static_assert(kConfig.num_stages >= kConfig.num_decode_warps &&
                    kConfig.num_packed_stages >= kConfig.num_decode_warps,
                "a warp passes the end of a ring once at most");

  // Decodes the `remaining` tiles of this CTA, and the queries before their tiles. Positions in the
  // rings are counted, not kept as addresses: registers are few.
  __device__ static __forceinline__ void run(Raw& raw, typename Decoded::Smem& decoded,
                                             u32 remaining, u32 warp, u32 lane) {
    Position<Traits::kNumStages> packed = {warp};
    Position<kConfig.num_stages> keys = {warp};
    u32 own = warp;  // The warp's next tile, counted from the block's first.
#pragma unroll 1
    for (u32 block = 0; remaining > 0; ++block) {
      const u32 num_tiles = decode_queries(raw, decoded, block, warp * 32 + lane);
      remaining -= num_tiles;
#pragma unroll 1
      for (; own < num_tiles; own += kNumWarps) {
        auto& from = raw.stages[packed.index];
        auto& to = decoded.stages[keys.index];
        wait(from.full, packed.parity);
        wait(to.empty, keys.parity ^ 1);
#pragma unroll 1
        for (u32 key = lane; key < Decoded::kBlockKv; key += 32) {
          to.scales[Decoded::scale_index(key)] = Vector::template decode<Traits::kPageLine>(
              raw, from.keys, Traits::vector_index(key), Traits::exponents(from, key), decoded,
              to.keys, key);
        }
        Vector::hand_over(from.empty, to.full, lane);
        packed.advance();
        keys.advance();
      }
      own -= num_tiles;
    }
  }

 private:
  // In a ring, of a warp's next tile.
  template <u32 kStages>
  struct Position {
    u32 index;
    u32 parity = 0;

    __device__ __forceinline__ void advance() {
      index += kNumWarps;
      const bool wraps = index >= kStages;
      index -= wraps ? kStages : 0;
      parity ^= wraps;
    }
  };

  // Decodes the `block`th block of queries of the CTA, and returns how many tiles it has.
  __device__ static __forceinline__ u32 decode_queries(Raw& raw, typename Decoded::Smem& decoded,
                                                       u32 block, u32 thread) {
    constexpr u32 kStages = Decoded::kNumQueryStages;
    auto& from = raw.queries[0];
    auto& to = decoded.queries[block % kStages];
    wait(from.full, block % 2);
    wait(to.empty, block / kStages % 2 ^ 1);
    const u32 num_tiles = __shfl_sync(0xFFFFFFFF, from.num_tiles, 0);
    const u32 num_banks = __shfl_sync(0xFFFFFFFF, from.num_banks, 0);
    if (thread < Decoded::kBlockQ) to.rows[thread] = from.rows[thread];
    if (thread == 0) {
      to.first_tile = from.first_tile;
      to.num_tiles = num_tiles;
      to.num_banks = num_banks;
    }
#pragma unroll 1
    for (u32 pair = thread; pair < num_banks * Decoded::kBankN; pair += kNumWarps * 32) {
      const float scale =
          Vector::decode(raw, from.q, pair, from.q_scales[pair], decoded, to.q, pair);
      to.weights[pair] = from.weights[pair] * scale;
    }
    Vector::hand_over(from.empty, to.full, thread % 32);
    return num_tiles;
  }
};

}  // namespace jdg
