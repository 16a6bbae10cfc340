// D[p] = sum over the runs of part p of A[run] B[run]^T, A [runs, M, K] and B [runs, N, K]
// bfloat16.
//
// The kernel of sm90_bf16_gemm.cuh for a K that is made of many runs, each a matrix of its own in
// memory: blocks of K are those of all runs, one run after the other. They are cut into parts,
// which are products of their own, as there are fewer tiles than multiprocessors.
#pragma once

#include "kernels/sm90_bf16_gemm.cuh"

namespace jdg {

struct Sm90BatchedKBf16GemmParams : Sm90Bf16GemmParams {
  u32 run_k_blocks;  // Blocks of K of a run; stages do not reach into the next run.
  u32 part_stages;   // Stages of a part, but for the first `longer_parts`,
  u32 longer_parts;  // which have one more.
};

// `grid.num_groups` counts parts: part p is group p of D.
template <Sm90Bf16GemmConfig kConfig>
struct BatchedKBf16Work : DenseBf16Work {
  using Params = Sm90BatchedKBf16GemmParams;
  static constexpr bool kBatchesK = true;
  static constexpr bool kLoadsRest = false;
  static_assert(!kConfig.a_mn_major && !kConfig.b_mn_major, "runs are K-major");

  __device__ static __forceinline__ u32 num_k_blocks(const Params& params, TileIndex tile) {
    return (params.part_stages + (tile.group < params.longer_parts)) * kConfig.stage_k_blocks;
  }

  // Where block `k_block` of a tile's part lies: its run, and which block of the run it is.
  __device__ static __forceinline__ KPlace place(const Params& params, TileIndex tile,
                                                 u32 k_block) {
    const u32 stages = tile.group * params.part_stages + min(tile.group, params.longer_parts);
    const u32 block = stages * kConfig.stage_k_blocks + k_block;
    const u32 run = block / params.run_k_blocks;
    return {run, block - run * params.run_k_blocks};
  }
};

template <Sm90Bf16GemmConfig kConfig>
using Sm90BatchedKBf16Gemm = Sm90Bf16Gemm<kConfig, BatchedKBf16Work<kConfig>>;

}  // namespace jdg
