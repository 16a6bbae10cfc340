// The loading role of the Hopper FP8 GEMM with swapped operands: one thread.
#pragma once

#include "kernels/sm90_fp8_gemm_swapped_types.cuh"
#include "ptx/tma.cuh"
#include "ptx/tma_cache_hint.cuh"
#include "ptx/tma_prefetch.cuh"

namespace jdg {

template <Sm90Fp8GemmSwappedConfig kConfig>
struct Sm90Fp8GemmSwappedLoad {
  using Traits = Sm90Fp8GemmSwappedTraits<kConfig>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Work = typename Traits::Work;

  // Starts to move B to L2 while the previous kernel may still run: as much as the ring holds.
  __device__ static __forceinline__ void prefetch(const Sm90Fp8GemmSwappedParams& params,
                                                  const Work& work) {
    const u32 end = min(work.end_stage, work.first_stage + kConfig.num_stages);
#pragma unroll 1
    for (u32 stage = work.first_stage; stage < end; ++stage) {
      const u32 k_block = stage * kConfig.stage_k_blocks;
      if constexpr (kConfig.stage_k_blocks == 1) {
        ptx::tma_prefetch(params.b, k_block * kBlockK, work.column, work.group);
      } else {
        ptx::tma_prefetch(params.b, 0, work.column, k_block, work.group);
      }
    }
  }

  __device__ static __forceinline__ void stages(const Sm90Fp8GemmSwappedParams& params,
                                                const Work& work, Smem& smem) {
    typename Traits::Ring ring(smem.stages);
    u64 policy = 0;
    if constexpr (kConfig.evict_first) policy = ptx::evict_first_policy();
    const bool rows_in_blocks = Traits::Rows::in_blocks(params.m);
    const u32 bytes = Traits::kTransactionBytes - Traits::Rows::missing_bytes(params.m);
#pragma unroll 1
    for (u32 i = work.first_stage; i < work.end_stage; ++i) {
      const u32 k_block = i * kConfig.stage_k_blocks;
      Stage& stage = ring.stage();
      wait(stage.empty, ring.parity() ^ 1);
      ptx::mbarrier_arrive_expect_tx(stage.full, bytes);
      const bool cut =
          kConfig.stage_k_blocks > 1 && params.cut.lies_in(k_block, kConfig.stage_k_blocks);
      if (cut) {
        blocks(stage.b, params.cut.b, stage.full, work.column, k_block, work.group);
      } else {
        operand<kConfig.evict_first>(stage.b, params.b, stage.full, policy, work.column, k_block,
                                     work.group);
      }
      if (cut || rows_in_blocks) {
        blocks(stage.a, params.cut.a, stage.full, 0, k_block, work.group);
      } else {
        operand<false>(stage.a, params.a, stage.full, policy, 0, k_block, work.group);
      }
      ptx::tma_load(stage.sfa, params.sfa, stage.full, 0, k_block, work.group);
      if constexpr (kConfig.sfb_per_row) {
        ptx::tma_load(stage.sfb, params.sfb, stage.full, work.column, k_block, work.group);
      }
      ring.advance();
    }
  }

 private:
  // Loads a stage of an operand a K block at a time.
  template <u32 kBytes>
  __device__ static __forceinline__ void blocks(u8 (&smem)[kConfig.stage_k_blocks][kBytes],
                                                const ptx::TensorMap* map, ptx::Mbarrier& full,
                                                u32 row, u32 k_block, u32 group) {
#pragma unroll 1
    for (u32 i = 0; i < kConfig.stage_k_blocks; ++i) {
      ptx::tma_load(smem[i], map, full, (k_block + i) * kBlockK, row, group);
    }
  }

  template <bool kHinted>
  __device__ static __forceinline__ void operand(void* smem, const ptx::TensorMap* map,
                                                 ptx::Mbarrier& full, u64 policy, u32 row,
                                                 u32 k_block, u32 group) {
    constexpr bool kOneBlock = kConfig.stage_k_blocks == 1;
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
