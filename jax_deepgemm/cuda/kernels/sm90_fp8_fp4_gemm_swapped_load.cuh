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

  // Streams this CTA's share of K.
  __device__ static __forceinline__ void stages(const Params& params, const Work& work, Smem& smem,
                                                u32 lane) {
    typename Traits::Ring ring(smem.stages);
    const SwappedPlace place = {0, params.m, work.group, work.column, work.group};
    tile(params, place, ring, work.first_stage, work.end_stage, policy(), lane);
  }

  // Streams stages of a tile, from `first` to before `end`. TMA brings what it can, on behalf of
  // one lane; all of them copy exponents, whose rows begin at any multiple of 4 bytes.
  __device__ static __forceinline__ void tile(const Params& params, const SwappedPlace& place,
                                              typename Traits::Ring& ring, u32 first, u32 end,
                                              u64 policy, u32 lane) {
#pragma unroll 1
    for (u32 i = first; i < end; ++i) {
      Stage& stage = ring.stage();
      wait(stage.empty, ring.parity() ^ 1);
      if (lane == 0) operands(params, place, stage, i, policy);
      __syncwarp();
      exponents(params, place, stage, i * kConfig.stage_k_blocks, lane);
      if constexpr (Traits::kGroupsRows) {
        scales(params, place, stage, i * kConfig.stage_k_blocks, lane);
      }
      ptx::cp_async_arrive(stage.full);
      ring.advance();
    }
  }

  // What is asked of L2 for B.
  __device__ static __forceinline__ u64 policy() {
    if constexpr (kConfig.evict_first) {
      return ptx::evict_first_policy();
    } else {
      return 0;
    }
  }

 private:
  __device__ static __forceinline__ void operands(const Params& params, const SwappedPlace& place,
                                                  Stage& stage, u32 i, u64 policy) {
    constexpr u32 kBlocks = kConfig.stage_k_blocks;
    const u32 missing = Traits::Rows::missing_bytes(params.m);
    ptx::mbarrier_arrive_expect_tx(stage.full, Traits::kTransactionBytes - missing);
    if constexpr (!Traits::kGroupsRows) {
      ptx::tma_load(stage.sfa, params.sfa, stage.full, place.row, i * kBlocks, place.a_group);
    }
    if (kBlocks > 1 && params.cut.lies_in(i * kBlocks, kBlocks)) {
      return blocks<true>(params, place, stage, i * kBlocks);
    }
    box<Traits::kCodeBytes>(i, place.column, place.b_group, [&](auto... at) {
      if constexpr (kConfig.evict_first) {
        ptx::tma_load_hinted(stage.b, params.b, stage.full, policy, at...);
      } else {
        ptx::tma_load(stage.b, params.b, stage.full, at...);
      }
    });
    if (Traits::Rows::in_blocks(params.m)) {
      return blocks<false>(params, place, stage, i * kBlocks);
    }
    box<kBlockK>(i, place.row, place.a_group,
                 [&](auto... at) { ptx::tma_load(stage.a, params.a, stage.full, at...); });
  }

  // Loads a stage of A a K block at a time, and with kCodes, where K ends, of B too.
  template <bool kCodes>
  __device__ static __forceinline__ void blocks(const Params& params, const SwappedPlace& place,
                                                Stage& stage, u32 first) {
#pragma unroll 1
    for (u32 i = 0; i < kConfig.stage_k_blocks; ++i) {
      const u32 k_block = first + i;
      if constexpr (kCodes) {
        ptx::tma_load(stage.b[i], params.cut.b, stage.full, k_block * Traits::kCodeBytes,
                      place.column, place.b_group);
      }
      ptx::tma_load(stage.a[i], params.cut.a, stage.full, k_block * kBlockK, place.row,
                    place.a_group);
    }
  }

  // Starts to copy the exponents of a stage. Those of groups behind the end of K are zeros, as 255
  // would be NaN; rows that are not there have the last one's, and their columns are not stored.
  __device__ static __forceinline__ void exponents(const Params& params, const SwappedPlace& place,
                                                   Stage& stage, u32 first, u32 lane) {
    constexpr u32 kBlocks = kConfig.stage_k_blocks;
    constexpr u32 kNumGroups = kBlockK / kFp4Group;
    const u32 block = first + lane % kBlocks;
    const u32 known = block * kNumGroups;
    const u32 bytes =
        known < params.num_fp4_groups ? min(params.num_fp4_groups - known, kNumGroups) : 0;
    const u32* column = params.exponents + (bytes > 0 ? block : 0);
    const u64 row = static_cast<u64>(place.b_group) * params.n;
#pragma unroll
    for (u32 i = 0; i < Traits::kBlockN * kBlocks / 32; ++i) {
      const u32 part = i * (32 / kBlocks) + lane / kBlocks;
      const u32 from = min(place.column + part, params.n - 1);
      ptx::cp_async_4(&stage.exponents[part].of_block[lane % kBlocks],
                      column + (row + from) * params.num_k_blocks, bytes);
    }
  }

  // Starts to copy the scales of rows of A. TMA would need rows that are multiples of four. Those
  // of rows and K blocks that are not there are zeros.
  __device__ static __forceinline__ void scales(const Params& params, const SwappedPlace& place,
                                                Stage& stage, u32 first, u32 lane) {
    constexpr u32 kCount = kConfig.stage_k_blocks * kConfig.block_m;
#pragma unroll
    for (u32 part = 0; part < kCount; part += 32) {
      const u32 i = part + lane;
      if (i >= kCount) break;
      const u32 block = i / kConfig.block_m;
      const u32 in_tile = i % kConfig.block_m;
      const u32 row = place.row + in_tile;
      const bool exists = row < place.end && first + block < params.num_k_blocks;
      const u64 from = exists ? static_cast<u64>(first + block) * params.scales_pitch + row : 0;
      ptx::cp_async_4(&stage.sfa[block][in_tile], params.scales + from, exists);
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
