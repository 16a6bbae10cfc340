// The loading role of the Hopper MQA logits: one warp.
#pragma once

#include "kernels/sm90_fp8_mqa_logits_schedule.cuh"
#include "ptx/tma.cuh"

namespace jdg {

template <Sm90Fp8MqaLogitsConfig kConfig, typename Traits = Sm90Fp8MqaLogitsTraits<kConfig>>
struct Sm90Fp8MqaLogitsLoad {
  using Schedule = Sm90Fp8MqaLogitsSchedule<kConfig, Traits>;
  using Params = typename Traits::Params;
  using Smem = typename Traits::Smem;
  using QueryRing = typename Traits::QueryRing;
  using KeyRing = typename Traits::KeyRing;

  __device__ static __forceinline__ void prefetch_maps(const Params& params) {
    ptx::prefetch_tensor_map(params.q);
    ptx::prefetch_tensor_map(params.keys);
    ptx::prefetch_tensor_map(params.scales);
    ptx::prefetch_tensor_map(params.weights);
    if constexpr (Traits::kHasQueryScales) ptx::prefetch_tensor_map(params.q_scales);
  }

  // Loads the `remaining` tiles of this CTA. A lane looks at every 32nd block of queries.
  __device__ static __forceinline__ void run(const Params& params, Smem& smem, u32 remaining,
                                             u32 lane) {
    if (remaining == 0) return;
    QueryRing queries(smem.queries);
    KeyRing ring(smem.stages);
    u32 block = smem.start.block;
    u32 skipped = smem.start.tile;
#pragma unroll 1
    while (remaining > 0) {
      const typename Schedule::Tiles own = Schedule::tiles_of(params, block + lane);
#pragma unroll 1
      for (u32 i = 0; i < 32 && remaining > 0; ++i) {
        const u32 count = ptx::shuffle(own.count, i);
        if (count == 0) continue;
        const u32 first = ptx::shuffle(own.first, i) + skipped;
        const u32 tiles = min(count - skipped, remaining);
        load_queries(params, queries, block + i, {first, tiles}, lane);
        if (lane == 0) load_keys(params, ring, {first, tiles});
        __syncwarp();
        skipped = 0;
        remaining -= tiles;
      }
      block += 32;
    }
  }

 private:
  __device__ static __forceinline__ void load_queries(const Params& params, QueryRing& queries,
                                                      u32 block, typename Schedule::Tiles tiles,
                                                      u32 lane) {
    auto& stage = queries.stage();
    wait(stage.empty, queries.parity() ^ 1);
    const u32 row = block * Traits::kBlockQ;
    if (lane < Traits::kBlockQ) stage.rows[lane] = row_target(params, row + lane);
    if (lane == 0) {
      stage.first_tile = tiles.first;
      stage.num_tiles = tiles.count;
    }
    __syncwarp();
    if (lane == 0) {
      ptx::mbarrier_arrive_expect_tx(stage.full, Traits::kQueryBytes);
      ptx::tma_load(stage.q, params.q, stage.full, 0, row * kConfig.num_heads, 0);
      ptx::tma_load(stage.weights, params.weights, stage.full, 0, row, 0);
      if constexpr (Traits::kHasQueryScales) {
        ptx::tma_load(stage.q_scales, params.q_scales, stage.full, row * kConfig.num_heads, 0, 0);
      }
    }
    queries.advance();
  }

  __device__ static __forceinline__ void load_keys(const Params& params, KeyRing& ring,
                                                   typename Schedule::Tiles tiles) {
    u32 key = tiles.first * Traits::kBlockKv;
#pragma unroll 1
    for (u32 i = 0; i < tiles.count; ++i) {
      auto& stage = ring.stage();
      wait(stage.empty, ring.parity() ^ 1);
      ptx::mbarrier_arrive_expect_tx(stage.full, Traits::kKeyBytes);
      ptx::tma_load(stage.keys, params.keys, stage.full, 0, key, 0);
      ptx::tma_load(stage.scales, params.scales, stage.full, key, 0, 0);
      ring.advance();
      key += Traits::kBlockKv;
    }
  }
};

}  // namespace jdg
