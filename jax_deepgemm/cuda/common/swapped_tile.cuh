// What a CTA of a GEMM with swapped operands computes, and what it sums up for its cluster.
//
// Rows of B are the 64 rows that an instruction of the tensor cores always has, the rows of A its
// columns. A cluster has a tile of D and shares out K.
#pragma once

#include "common/math.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// A fragment is what a warp's four accumulators of a thread hold: 16 rows of B and 8 of A. The
// fragments of a tile are dealt out to the CTAs of the cluster, which sum them over the splits.
template <int kBlockM, int kNumMathWarps, int kNumSplits>
struct SwappedFragments {
  static constexpr int kCount = kBlockM / 8 * kNumMathWarps;
  static constexpr int kOwn = ceil_div(kCount, kNumSplits);
  static constexpr int kSlots = kNumSplits > 1 ? kNumSplits * kOwn : 1;  // Not 0: an array's size.
};

// How A is loaded where it has `m` rows and a stage room for kBlockM, of kBytes in a K block. Boxes
// have m rows, as TMA is slow at those that are not there (see row_rest.cuh); what a stage keeps
// behind them only gets into rows that D does not have. In a box of several K blocks the next one
// would begin where m rows end, so each has a box of its own then. kWhole: boxes have
// kBlockM rows whatever m is.
template <int kBlockM, int kStageKBlocks, int kBytes, bool kWhole = false>
struct SwappedRows {
  __device__ static __forceinline__ bool in_blocks(u32 m) {
    return !kWhole && kStageKBlocks > 1 && m < kBlockM;
  }

  __device__ static __forceinline__ bool is_loaded(u32 row, u32 m) { return kWhole || row < m; }

  // Bytes of a full stage that do not come.
  __device__ static __forceinline__ u32 missing_bytes(u32 m) {
    return kWhole ? 0 : (kBlockM - m) * (kStageKBlocks * kBytes);
  }
};

// Rows of B, and stages of K from `first_stage` to before `end_stage`.
template <int kBlockN, int kStageKBlocks, int kNumSplits>
struct SwappedWork {
  u32 rank;
  u32 group;
  u32 column;  // Of D.
  u32 first_stage;
  u32 end_stage;

  // `num_n` tiles lie along N.
  __device__ __forceinline__ SwappedWork(u32 num_n, u32 num_k_blocks)
      : rank(kNumSplits > 1 ? ptx::cluster_cta_rank() : 0) {
    const u32 tile = blockIdx.x / kNumSplits;
    group = tile / num_n;
    column = (tile - group * num_n) * kBlockN;
    const u32 num_stages = (num_k_blocks + kStageKBlocks - 1) / kStageKBlocks;
    first_stage = num_stages * rank / kNumSplits;
    end_stage = num_stages * (rank + 1) / kNumSplits;
  }
};

// How many lines of D and C one group, and one row, lie behind another. Lines of all groups of a
// row may follow each other, {1, groups}, else those of all rows of a group, {m, 1}.
struct LineSteps {
  u32 group;
  u32 row;

  // Groups have few rows here: there are less than 2^32 lines.
  __device__ __forceinline__ u32 line(u32 of_group, u32 of_row) const {
    return of_group * group + of_row * row;
  }
};

}  // namespace jdg
