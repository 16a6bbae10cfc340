// Configuration, parameters and shared memory of the Hopper FP8 GEMM for few tiles.
#pragma once

#include "common/k_cut.cuh"
#include "common/math.cuh"
#include "common/pipeline.cuh"
#include "common/swapped_tile.cuh"
#include "mma/sm90_fp8.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// Mirrors `Sm90Fp8GemmSplitConfig` in heuristics/sm90_fp8_gemm_split.py.
struct Sm90Fp8GemmSplitConfig {
  int num_math_warpgroups;  // Each has 64 rows of A.
  int block_n;              // Columns of a tile: wgmma's N.
  int num_stages;
  int stage_k_blocks;     // K blocks that are loaded together.
  int mma_k_blocks;       // K blocks whose products are in flight at a time.
  int num_splits;         // CTAs of a cluster, which share out K.
  int ctas_per_sm;        // CTAs that have room on one multiprocessor.
  bool prefetch_weights;  // Fetch the first stages of B to L2 before the previous kernel ends.
  bool evict_first;       // What L2 holds of B is the first to be replaced.
  bool float32_out;       // D and C are float32, else bfloat16.
  bool with_c;

  constexpr int block_m() const { return num_math_warpgroups * 64; }
};

struct Sm90Fp8GemmSplitParams {
  const ptx::TensorMap*
      a;  // {K, M, group}, or {128, M, whole blocks, group} if stage_k_blocks > 1.
  const ptx::TensorMap* a_rest;  // {K, M, group}: boxes of the last rows alone.
  const ptx::TensorMap* b;       // As `a`, with N for M.
  const ptx::TensorMap* sfa;     // {align(M, 4), K / 128, group}.
  const u32* sfb;                // Bits of float32 [group, sfb_rows, num_k_blocks].
  const void* c;                 // [group, m, pitch] or as `lines` says; if with_c.
  void* d;                       // As `c`.
  u32 m;
  u32 rest_rows;  // Of the last tile along M.
  u32 pitch;      // Elements of a row of C and D, a multiple of 4.
  u32 num_k_blocks;
  u32 sfb_rows;
  u32 num_m;  // Tiles along M,
  u32 num_n;  // and along N.
  KCut cut;   // If stage_k_blocks > 1.
  LineSteps lines;
};

// A tile of D, and of its K the stages from `first_stage` to before `end_stage`.
template <int kBlockM, int kBlockN, int kStageKBlocks, int kNumSplits>
struct SplitWork {
  u32 rank;
  u32 group;
  u32 row;     // The tile's first of D,
  u32 column;  // and its first column.
  u32 first_stage;
  u32 end_stage;

  // Tiles of the same columns follow each other: they read the same rows of B.
  __device__ __forceinline__ SplitWork(u32 num_m, u32 num_n, u32 num_k_blocks)
      : rank(kNumSplits > 1 ? ptx::cluster_cta_rank() : 0) {
    const u32 tile = blockIdx.x / kNumSplits;
    const u32 line = tile / num_m;
    const u32 tile_m = tile - line * num_m;
    group = line / num_n;
    row = tile_m * kBlockM;
    column = (line - group * num_n) * kBlockN;
    const u32 num_stages = (num_k_blocks + kStageKBlocks - 1) / kStageKBlocks;
    first_stage = num_stages * rank / kNumSplits;
    end_stage = num_stages * (rank + 1) / kNumSplits;
  }
};

// What follows from a configuration.
template <Sm90Fp8GemmSplitConfig kOwnConfig>
struct Sm90Fp8GemmSplitTraits {
  static constexpr Sm90Fp8GemmSplitConfig kConfig = kOwnConfig;
  static constexpr int kBlockM = kConfig.block_m();
  static constexpr int kBlockN = kConfig.block_n;
  static constexpr int kStageKBlocks = kConfig.stage_k_blocks;
  static constexpr int kNumSplits = kConfig.num_splits;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr int kNumThreads = kNumMathWarps * 32 + 32;
  static constexpr int kAccumulators = kBlockN / 2;
  // A column group is 8 columns, of which a thread has four accumulators. The CTAs of a cluster
  // share them out, in order, and sum them up over the splits; the last ones may have none.
  static constexpr int kColumnGroups = kBlockN / 8;
  static constexpr int kOwnColumnGroups = ceil_div(kColumnGroups, kNumSplits);

  using Work = SplitWork<kBlockM, kBlockN, kStageKBlocks, kNumSplits>;
  using Sums = float[kAccumulators];

  static_assert(128 % kBlockN == 0, "the rows of B of a tile have one scale");

  // One object per stage, so that the main loop moves one address from stage to stage.
  struct alignas(1024) Stage {
    u8 b[kStageKBlocks][kBlockN * kBlockK];
    u8 a[kStageKBlocks][kBlockM * kBlockK];
    float sfa[kStageKBlocks][kBlockM];
    ptx::Mbarrier full;   // Filled by TMA, awaited by math.
    ptx::Mbarrier empty;  // Released by math.
  };

  // What each other split sends of the own columns, for each warp its 16 rows; one place that is
  // not used if there are none. Never a stage's memory: the CTAs of a cluster do not finish at the
  // same time.
  static constexpr bool kSplits = kNumSplits > 1;
  using Received = uint4[kSplits ? kNumMathWarps : 1][kSplits ? kOwnColumnGroups : 1][32];

  struct Smem {
    Stage stages[kConfig.num_stages];
    Received received[kSplits ? kNumSplits - 1 : 1];
    ptx::Mbarrier all_received;
  };

  // Bytes of a stage with so many rows of A, and of all rows' scales.
  __device__ static constexpr u32 transaction_bytes(u32 rows) {
    return kStageKBlocks * ((kBlockN + rows) * kBlockK + kBlockM * 4);
  }

  using Ring = StageRing<Stage, kConfig.num_stages>;
};

}  // namespace jdg
