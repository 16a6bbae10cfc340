// The role that brings rows of A to the order of K in which codes of B are decoded.
//
// A lane's part of a wgmma operand is 4 bytes at two places of 32 of K, but what it can load of B
// at once are 8 codes in a row. A stage's rows of A are a few KB that all rows of B share, so they
// are reordered in shared memory, by warps of their own while the others decode.
#pragma once

#include "kernels/sm90_fp8_fp4_gemm_swapped_types.cuh"
#include "ptx/tma.cuh"

namespace jdg {

template <Sm90Fp8Fp4GemmSwappedConfig kConfig>
struct Sm90Fp8Fp4GemmSwappedTokens {
  using Traits = Sm90Fp8Fp4GemmSwappedTraits<kConfig>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;

  // Reorders `num_stages` stages of `m` rows, or of groups' rows; `warp` is one of kNumTokenWarps.
  __device__ static __forceinline__ void run(u32 num_stages, u32 m, Smem& smem, u32 warp,
                                             u32 lane) {
    typename Traits::Ring ring(smem.stages);
#pragma unroll 1
    for (u32 i = 0; i < num_stages; ++i) {
      Stage& stage = ring.stage();
      wait(stage.full, ring.parity());
#pragma unroll
      for (u32 part = 0; part < kParts; part += Traits::kNumTokenWarps) {
        const u32 row = (part + warp) % kBlockParts * 8 + lane / 4;
        if (part + warp < kParts && Traits::Rows::is_loaded(row, m)) {
          reorder(stage.a[0], part + warp, lane);
        }
      }
      ptx::fence_proxy_async();
      __syncwarp();
      if (lane == 0) ptx::mbarrier_arrive(stage.ready);
      ring.advance();
    }
  }

 private:
  // A stage's rows eight at a time; rows of the next K block follow those of the one before.
  static constexpr u32 kBlockParts = Traits::kBlockM / 8;
  static constexpr u32 kParts = Traits::kStageKBlocks * kBlockParts;

  // A lane has 32 of K of a row: two chunks of 16 bytes, in TMA's 128-byte swizzle.
  __device__ static __forceinline__ void reorder(u8* rows, u32 part, u32 lane) {
    const u32 row = lane / 4;
    uint4* line = reinterpret_cast<uint4*>(rows + (part * 8 + row) * kBlockK);
    uint4& first = line[lane % 4 * 2 ^ row];
    uint4& second = line[(lane % 4 * 2 + 1) ^ row];
    uint4 x = first;
    uint4 y = second;
    split_halves(x, y);
    first = x;
    second = y;
  }
};

}  // namespace jdg
