// The decoding role of the Hopper MQA logits of FP4 vectors: one warpgroup.
//
// A thread decodes a key of a tile, or a (query, head) pair. A key's scale is that of its logits; a
// pair's goes into its weight, which is exact: it is a power of two.
#pragma once

#include "kernels/sm90_fp8_fp4_mqa_logits_types.cuh"
#include "kernels/sm90_fp8_fp4_mqa_logits_vector.cuh"

namespace jdg {

template <Sm90Fp8MqaLogitsConfig kConfig>
struct Sm90Fp8Fp4MqaLogitsDecode {
  using Traits = Sm90Fp8Fp4MqaLogitsTraits<kConfig>;
  using Decoded = typename Traits::Decoded;
  using Raw = typename Traits::Smem;
  using Decode = Fp4StageDecode<kConfig.head_dim>;
  static constexpr u32 kNumThreads = Traits::kNumDecodeThreads;

  static_assert(Traits::kBlockKv == kNumThreads, "a thread has a key of a tile");
  static_assert(Traits::kColumns % kNumThreads == 0, "all threads have as many pairs");

  // Decodes the `remaining` tiles of this CTA, and the queries before their tiles. Positions in the
  // rings are counted, not kept as addresses: registers are few.
  __device__ static __forceinline__ void run(Raw& raw, typename Decoded::Smem& decoded,
                                             u32 remaining, u32 thread) {
    Position keys;
#pragma unroll 1
    for (u32 block = 0; remaining > 0; ++block) {
      u32 num_tiles = decode_queries(raw, decoded, block, thread);
      remaining -= num_tiles;
#pragma unroll 1
      for (; num_tiles > 0; --num_tiles) {
        auto& from = raw.stages[keys.index];
        auto& to = decoded.stages[keys.index];
        wait(from.full, keys.parity);
        wait(to.empty, keys.parity ^ 1);
        to.scales[thread] =
            Decode::decode(raw, from.keys, thread, from.scales[thread], decoded, to.keys, thread);
        Decode::hand_over(from.empty, to.full, thread % 32);
        keys.advance();
      }
    }
  }

 private:
  // In the rings of packed and of decoded keys, which have as many stages.
  struct Position {
    u32 index = 0;
    u32 parity = 0;

    __device__ __forceinline__ void advance() {
      const bool wraps = ++index == Traits::kNumStages;
      index = wraps ? 0 : index;
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
    if (thread < Traits::kBlockQ) to.rows[thread] = from.rows[thread];
    if (thread == 0) {
      to.first_tile = from.first_tile;
      to.num_tiles = num_tiles;
    }
#pragma unroll 1
    for (u32 pair = thread; pair < Traits::kColumns; pair += kNumThreads) {
      const float scale =
          Decode::decode(raw, from.q, pair, from.q_scales[pair], decoded, to.q, pair);
      to.weights[pair] = from.weights[pair] * scale;
    }
    Decode::hand_over(from.empty, to.full, thread % 32);
    return num_tiles;
  }
};

}  // namespace jdg
