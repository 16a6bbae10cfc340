// The loading role of the Hopper FP8 GEMM for few tiles: one thread.
#pragma once

#include "kernels/sm90_fp8_gemm_split_types.cuh"
#include "ptx/tma.cuh"
#include "ptx/tma_cache_hint.cuh"
#include "ptx/tma_prefetch.cuh"

namespace jdg {

template <Sm90Fp8GemmSplitConfig kConfig>
struct Sm90Fp8GemmSplitLoad {
  using Traits = Sm90Fp8GemmSplitTraits<kConfig>;
  using Params = Sm90Fp8GemmSplitParams;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Work = typename Traits::Work;
  static constexpr u32 kStageKBlocks = kConfig.stage_k_blocks;

  // Starts to move B to L2 while the previous kernel may still run: as much as the ring holds.
  __device__ static __forceinline__ void prefetch(const Params& params, const Work& work) {
    const u32 end = min(work.end_stage, work.first_stage + kConfig.num_stages);
#pragma unroll 1
    for (u32 stage = work.first_stage; stage < end; ++stage) {
      const u32 k_block = stage * kStageKBlocks;
      if constexpr (kStageKBlocks == 1) {
        ptx::tma_prefetch(params.b, k_block * kBlockK, work.column, work.group);
      } else {
        ptx::tma_prefetch(params.b, 0, work.column, k_block, work.group);
      }
    }
  }

  // Loads this CTA's share of A and B, and A's scales.
  __device__ static __forceinline__ void stages(const Params& params, const Work& work,
                                                Smem& smem) {
    typename Traits::Ring ring(smem.stages);
    // What a box has beyond the last row of A comes slowly: with boxes of 128 rows a product of 65
    // took 17.8 us and one of 128 rows 14.2. In the last tile along M boxes end where A does.
    const bool rest = params.m - work.row < Traits::kBlockM;
    const u32 bytes = Traits::transaction_bytes(rest ? params.rest_rows : Traits::kBlockM);
    u64 policy = 0;
    if constexpr (kConfig.evict_first) policy = ptx::evict_first_policy();
#pragma unroll 1
    for (u32 i = work.first_stage; i < work.end_stage; ++i) {
      const u32 k_block = i * kStageKBlocks;
      const bool cut = kStageKBlocks > 1 && params.cut.lies_in(k_block, kStageKBlocks);
      Stage& stage = ring.stage();
      wait(stage.empty, ring.parity() ^ 1);
      ptx::mbarrier_arrive_expect_tx(stage.full, bytes);
      if (cut) {
        blocks(stage.b, params.cut.b, stage.full, work.column, k_block, work.group);
      } else {
        whole<kConfig.evict_first>(stage.b, params.b, stage.full, policy, work.column, k_block,
                                   work.group);
      }
      if (rest) {
        blocks(stage.a, params.a_rest, stage.full, work.row, k_block, work.group);
      } else if (cut) {
        blocks(stage.a, params.cut.a, stage.full, work.row, k_block, work.group);
      } else {
        whole<false>(stage.a, params.a, stage.full, policy, work.row, k_block, work.group);
      }
      ptx::tma_load(stage.sfa, params.sfa, stage.full, work.row, k_block, work.group);
      ring.advance();
    }
  }

 private:
  // Loads an operand of a stage block by block, in boxes that end where K does, or where its rows
  // do: the stage has the blocks of whole tiles, and a box would put the next right behind the last
  // row.
  template <int kBytes>
  __device__ static __forceinline__ void blocks(u8 (&smem)[kStageKBlocks][kBytes],
                                                const ptx::TensorMap* map, ptx::Mbarrier& full,
                                                u32 row, u32 k_block, u32 group) {
#pragma unroll 1
    for (u32 i = 0; i < kStageKBlocks; ++i) {
      ptx::tma_load(smem[i], map, full, (k_block + i) * kBlockK, row, group);
    }
  }

  // Loads an operand of a stage in one box.
  template <bool kHinted>
  __device__ static __forceinline__ void whole(void* smem, const ptx::TensorMap* map,
                                               ptx::Mbarrier& full, u64 policy, u32 row,
                                               u32 k_block, u32 group) {
    constexpr bool kOneBlock = kStageKBlocks == 1;
    if constexpr (kHinted && kOneBlock) {
      ptx::tma_load_hinted(smem, map, full, policy, k_block * kBlockK, row, group);
    } else if constexpr (kHinted) {
      ptx::tma_load_hinted(smem, map, full, policy, 0, row, k_block, group);
    } else if constexpr (kOneBlock) {
      ptx::tma_load(smem, map, full, k_block * kBlockK, row, group);
    } else {
      ptx::tma_load(smem, map, full, 0, row, k_block, group);
    }
  }
};

}  // namespace jdg
