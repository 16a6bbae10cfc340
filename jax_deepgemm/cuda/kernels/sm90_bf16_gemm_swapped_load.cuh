// The loading role of the Hopper BF16 GEMM with swapped operands: one thread.
#pragma once

#include "kernels/sm90_bf16_gemm_swapped_types.cuh"
#include "ptx/tma.cuh"
#include "ptx/tma_cache_hint.cuh"
#include "ptx/tma_prefetch.cuh"

namespace jdg {

template <Sm90Bf16GemmSwappedConfig kConfig>
struct Sm90Bf16GemmSwappedLoad {
  using Traits = Sm90Bf16GemmSwappedTraits<kConfig>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Work = typename Traits::Work;

  // Starts to move B to L2 while the previous kernel may still run: as much as the ring holds.
  __device__ static __forceinline__ void prefetch(const Sm90Bf16GemmSwappedParams& params,
                                                  const Work& work) {
    const u32 end = min(work.end_stage, work.first_stage + kConfig.num_stages);
#pragma unroll 1
    for (u32 stage = work.first_stage; stage < end; ++stage) {
      const u32 k_block = stage * kConfig.stage_k_blocks;
      weights(work, k_block, [&](int, auto... at) { ptx::tma_prefetch(params.b, at...); });
    }
  }

  __device__ static __forceinline__ void stages(const Sm90Bf16GemmSwappedParams& params,
                                                const Work& work, Smem& smem) {
    typename Traits::Ring ring(smem.stages, smem.barriers);
    u64 policy = 0;
    if constexpr (kConfig.evict_first) policy = ptx::evict_first_policy();
    const bool rows_in_blocks = Traits::Rows::in_blocks(params.m);
    const u32 bytes = Traits::kTransactionBytes - Traits::Rows::missing_bytes(params.m);
#pragma unroll 1
    for (u32 i = work.first_stage; i < work.end_stage; ++i) {
      const u32 k_block = i * kConfig.stage_k_blocks;
      Stage& stage = ring.stage();
      ptx::Mbarrier& full = ring.barriers().full;
      wait(ring.barriers().empty, ring.parity() ^ 1);
      ptx::mbarrier_arrive_expect_tx(full, bytes);
      const bool cut = kCuts && params.cut.lies_in(k_block, kConfig.stage_k_blocks);
      const auto load_weights = [&](int part, auto... at) {
        u8* target = stage.b + Traits::b_offset(part, 0);
        if constexpr (kConfig.evict_first) {
          ptx::tma_load_hinted(target, params.b, full, policy, at...);
        } else {
          ptx::tma_load(target, params.b, full, at...);
        }
      };
      if (cut && !kConfig.b_mn_major) {
        blocks<Traits::kBlockN>(stage.b, params.cut.b, full, work.column, k_block, work.group);
      } else {
        weights(work, k_block, load_weights);
      }
      if ((cut && !kConfig.a_mn_major) || rows_in_blocks) {
        blocks<Traits::kARows>(stage.a[0], params.cut.a, full, 0, k_block, work.group);
      } else {
        rows(params, stage, full, k_block, work.group);
      }
      ring.advance();
    }
  }

 private:
  static constexpr bool kCuts =
      kConfig.stage_k_blocks > 1 && !(kConfig.a_mn_major && kConfig.b_mn_major);

  // Loads a stage of a K-major operand, of which it holds kRows, a K block at a time.
  template <u32 kRows>
  __device__ static __forceinline__ void blocks(u8* smem, const ptx::TensorMap* map,
                                                ptx::Mbarrier& full, u32 row, u32 k_block,
                                                u32 group) {
#pragma unroll 1
    for (u32 i = 0; i < kConfig.stage_k_blocks; ++i) {
      const u32 k = (k_block + i) * kBf16BlockK;
      ptx::tma_load(smem + i * (kRows * kBf16LineBytes), map, full, k, row, group);
    }
  }

  // Calls `box(part, coordinates...)` for each box of B of a stage: one of all rows, or if MN-major
  // one for each 64.
  template <typename Box>
  __device__ static __forceinline__ void weights(const Work& work, u32 k_block, Box box) {
    if constexpr (kConfig.b_mn_major) {
#pragma unroll
      for (int part = 0; part < kConfig.num_math_warpgroups; ++part) {
        box(part, work.column + part * kBf16AtomRows, k_block * kBf16BlockK, work.group);
      }
    } else if constexpr (kConfig.stage_k_blocks == 1) {
      box(0, k_block * kBf16BlockK, work.column, work.group);
    } else {
      box(0, 0u, work.column, k_block, work.group);
    }
  }

  // Loads a stage of A.
  __device__ static __forceinline__ void rows(const Sm90Bf16GemmSwappedParams& params, Stage& stage,
                                              ptx::Mbarrier& full, u32 k_block, u32 group) {
    if constexpr (kConfig.a_mn_major) {
#pragma unroll
      for (int block = 0; block < kConfig.stage_k_blocks; ++block) {
#pragma unroll
        for (int atom = 0; atom < Traits::kARows / kBf16AtomRows; ++atom) {
          ptx::tma_load(stage.a[block] + atom * kBf16AtomBytes, params.a, full,
                        atom * kBf16AtomRows, (k_block + block) * kBf16BlockK, group);
        }
      }
    } else if constexpr (kConfig.stage_k_blocks == 1) {
      ptx::tma_load(stage.a[0], params.a, full, k_block * kBf16BlockK, 0, group);
    } else {
      ptx::tma_load(stage.a[0], params.a, full, 0, 0, k_block, group);
    }
  }
};

}  // namespace jdg
