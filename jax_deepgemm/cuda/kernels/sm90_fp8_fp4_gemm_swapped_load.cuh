// The loading role of the Hopper FP8 GEMM with FP4 weights and swapped operands: one warp.
#pragma once

#include "kernels/sm90_fp8_fp4_gemm_swapped_types.cuh"
#include "ptx/copy.cuh"
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

  // TMA brings what it can, on behalf of one lane; all of them copy exponents, whose rows begin at
  // any multiple of 4 bytes.
  __device__ static __forceinline__ void stages(const Params& params, const Work& work, Smem& smem,
                                                u32 lane) {
    typename Traits::Ring ring(smem.stages);
    u64 policy = 0;
    if constexpr (kConfig.evict_first) policy = ptx::evict_first_policy();
#pragma unroll 1
    for (u32 i = work.first_stage; i < work.end_stage; ++i) {
      Stage& stage = ring.stage();
      wait(stage.empty, ring.parity() ^ 1);
      if (lane == 0) operands(params, work, stage, i, policy);
      __syncwarp();
      exponents(params, work, stage, i * kConfig.stage_k_blocks, lane);
      ptx::cp_async_arrive(stage.full);
      ring.advance();
    }
  }

 private:
  __device__ static __forceinline__ void operands(const Params& params, const Work& work,
                                                  Stage& stage, u32 i, u64 policy) {
    constexpr u32 kBlocks = kConfig.stage_k_blocks;
    ptx::mbarrier_arrive_expect_tx(stage.full, Traits::kTransactionBytes);
    ptx::tma_load(stage.sfa, params.sfa, stage.full, 0, i * kBlocks, work.group);
    if (kBlocks > 1 && params.cut.lies_in(i * kBlocks, kBlocks)) {
      return blocks(params, work, stage, i * kBlocks);
    }
    box<Traits::kCodeBytes>(i, work.column, work.group, [&](auto... at) {
      if constexpr (kConfig.evict_first) {
        ptx::tma_load_hinted(stage.b, params.b, stage.full, policy, at...);
      } else {
        ptx::tma_load(stage.b, params.b, stage.full, at...);
      }
    });
    box<kBlockK>(i, 0, work.group,
                 [&](auto... at) { ptx::tma_load(stage.a, params.a, stage.full, at...); });
  }

  // Loads the stage in which K ends.
  __device__ static __forceinline__ void blocks(const Params& params, const Work& work,
                                                Stage& stage, u32 first) {
#pragma unroll 1
    for (u32 i = 0; i < kConfig.stage_k_blocks; ++i) {
      const u32 k_block = first + i;
      ptx::tma_load(stage.b[i], params.cut.b, stage.full, k_block * Traits::kCodeBytes, work.column,
                    work.group);
      ptx::tma_load(stage.a[i], params.cut.a, stage.full, k_block * kBlockK, 0, work.group);
    }
  }

  // Starts to copy the exponents of a stage. Those of groups behind the end of K are zeros, as 255
  // would be NaN; rows that are not there have the last one's, and their columns are not stored.
  __device__ static __forceinline__ void exponents(const Params& params, const Work& work,
                                                   Stage& stage, u32 first, u32 lane) {
    constexpr u32 kBlocks = kConfig.stage_k_blocks;
    constexpr u32 kNumGroups = kBlockK / kFp4Group;
    const u32 block = first + lane % kBlocks;
    const u32 known = block * kNumGroups;
    const u32 bytes =
        known < params.num_fp4_groups ? min(params.num_fp4_groups - known, kNumGroups) : 0;
    const u32* column = params.exponents + (bytes > 0 ? block : 0);
    const u64 row = static_cast<u64>(work.group) * params.n;
#pragma unroll
    for (u32 i = 0; i < Traits::kBlockN * kBlocks / 32; ++i) {
      const u32 part = i * (32 / kBlocks) + lane / kBlocks;
      const u32 from = min(work.column + part, params.n - 1);
      ptx::cp_async_4(&stage.exponents[part].of_block[lane % kBlocks],
                      column + (row + from) * params.num_k_blocks, bytes);
    }
  }

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
