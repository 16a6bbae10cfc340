// The loading role of the Hopper FP8 GEMM with FP4 weights and swapped operands: one thread.
#pragma once

#include "kernels/sm90_fp8_fp4_gemm_swapped_types.cuh"
#include "ptx/tma.cuh"
#include "ptx/tma_cache_hint.cuh"
#include "ptx/tma_prefetch.cuh"

namespace jdg {

template <Sm90Fp8Fp4GemmSwappedConfig kConfig>
struct Sm90Fp8Fp4GemmSwappedLoad {
  using Traits = Sm90Fp8Fp4GemmSwappedTraits<kConfig>;
  using Params = typename Traits::Params;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Work = typename Traits::Work;

  // Starts to move B to L2 while the previous kernel may still run: as much as the ring holds.
  __device__ static __forceinline__ void prefetch(const Params& params, const Work& work) {
    const u32 end = min(work.end_stage, work.first_stage + kConfig.num_stages);
#pragma unroll 1
    for (u32 stage = work.first_stage; stage < end; ++stage) {
      box<Traits::kCodeBytes>(stage, work.column, work.group,
                              [&](auto... at) { ptx::tma_prefetch(params.b, at...); });
    }
  }

  __device__ static __forceinline__ void stages(const Params& params, const Work& work,
                                                Smem& smem) {
    typename Traits::Ring ring(smem.stages);
    u64 policy = 0;
    if constexpr (kConfig.evict_first) policy = ptx::evict_first_policy();
#pragma unroll 1
    for (u32 i = work.first_stage; i < work.end_stage; ++i) {
      Stage& stage = ring.stage();
      wait(stage.empty, ring.parity() ^ 1);
      ptx::mbarrier_arrive_expect_tx(stage.full, Traits::kTransactionBytes);
      box<Traits::kCodeBytes>(i, work.column, work.group, [&](auto... at) {
        if constexpr (kConfig.evict_first) {
          ptx::tma_load_hinted(stage.b, params.b, stage.full, policy, at...);
        } else {
          ptx::tma_load(stage.b, params.b, stage.full, at...);
        }
      });
      box<kBlockK>(i, 0, work.group,
                   [&](auto... at) { ptx::tma_load(stage.a, params.a, stage.full, at...); });
      ptx::tma_load(stage.sfa, params.sfa, stage.full, 0, i * kConfig.stage_k_blocks, work.group);
      ring.advance();
    }
  }

 private:
  // Calls `load` with the coordinates of a stage's box of an operand with kRowBytes a row and K
  // block.
  template <u32 kRowBytes, typename Load>
  __device__ static __forceinline__ void box(u32 stage, u32 row, u32 group, Load load) {
    const u32 k_block = stage * kConfig.stage_k_blocks;
    if constexpr (kConfig.stage_k_blocks == 1) {
      load(k_block * kRowBytes, row, group);
    } else {
      load(0u, row, k_block, group);
    }
  }
};

}  // namespace jdg
