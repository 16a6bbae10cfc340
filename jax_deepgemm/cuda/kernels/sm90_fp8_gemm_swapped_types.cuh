// Configuration, parameters and shared memory of the Hopper FP8 GEMM with swapped operands.
#pragma once

#include "common/k_cut.cuh"
#include "common/math.cuh"
#include "common/pipeline.cuh"
#include "common/swapped_store.cuh"
#include "mma/sm90_fp8.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// Mirrors `Sm90Fp8GemmSwappedConfig` in heuristics/sm90_fp8_gemm_swapped.py.
struct Sm90Fp8GemmSwappedConfig {
  int block_m;              // Rows of A, all of them: wgmma's N.
  int num_math_warpgroups;  // Each has 64 rows of B.
  int num_stages;
  int stage_k_blocks;     // K blocks that are loaded together.
  int mma_k_blocks;       // K blocks whose products are in flight at a time.
  int num_splits;         // CTAs of a cluster, which share out K.
  int ctas_per_sm;        // CTAs that have room on one multiprocessor.
  bool prefetch_weights;  // Fetch the first stages of B to L2 before the previous kernel ends.
  bool evict_first;       // What L2 holds of B is the first to be replaced.
  bool sfb_per_row;       // sfb is per row of B, else per 128 rows.
  bool float32_out;       // D and C are float32, else bfloat16.
  bool with_c;

  constexpr int block_n() const { return num_math_warpgroups * 64; }
};

struct Sm90Fp8GemmSwappedParams {
  const ptx::TensorMap*
      a;  // {K, M, group}, or {128, M, whole blocks, group} if stage_k_blocks > 1.
  const ptx::TensorMap* b;    // As `a`, with N for M.
  const ptx::TensorMap* sfa;  // {align(M, 4), K / 128, group}.
  const ptx::TensorMap* sfb;  // {align(N, 4), K / 128, group}; if sfb_per_row.
  const u32* sfb_blocks;  // Bits of float32 [group, sfb_rows, num_k_blocks]; unless sfb_per_row.
  const void* c;          // [group, m, pitch] or as `lines` says; if with_c.
  void* d;                // As `c`.
  u32 m;
  u32 pitch;  // Elements of a row of C and D, a multiple of 4.
  u32 num_k_blocks;
  u32 sfb_rows;
  u32 num_n;  // Tiles along N.
  KCut cut;   // If stage_k_blocks > 1; all of A may come through its `a`: see SwappedRows.
  LineSteps lines;
};

// What follows from a configuration.
template <Sm90Fp8GemmSwappedConfig kOwnConfig>
struct Sm90Fp8GemmSwappedTraits {
  static constexpr Sm90Fp8GemmSwappedConfig kConfig = kOwnConfig;
  using Params = Sm90Fp8GemmSwappedParams;
  static constexpr int kBlockM = kConfig.block_m;
  static constexpr int kBlockN = kConfig.block_n();
  static constexpr int kStageKBlocks = kConfig.stage_k_blocks;
  static constexpr int kNumSplits = kConfig.num_splits;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr int kNumThreads = kNumMathWarps * 32 + 32;
  static constexpr int kAccumulators = kBlockM / 2;

  using Fragments = SwappedFragments<kBlockM, kNumMathWarps, kNumSplits>;
  using Work = SwappedWork<kBlockN, kStageKBlocks, kNumSplits>;
  using Rows = SwappedRows<kBlockM, kStageKBlocks, kBlockK>;
  using Sums = float[kAccumulators];

  static_assert(kBlockM % 8 == 0 && kBlockM <= 256, "wgmma takes N in multiples of 8 up to 256");
  static_assert(128 % kBlockN == 0, "the rows of B of a tile have one scale");

  // One object per stage, so that the main loop moves one address from stage to stage.
  struct alignas(1024) Stage {
    u8 b[kStageKBlocks][kBlockN * kBlockK];
    u8 a[kStageKBlocks][kBlockM * kBlockK];
    float sfa[kStageKBlocks][kBlockM];
    alignas(128) float sfb[kStageKBlocks][kConfig.sfb_per_row ? kBlockN : 2];
    ptx::Mbarrier full;   // Filled by TMA, awaited by math.
    ptx::Mbarrier empty;  // Released by math.
  };

  struct Smem {
    Stage stages[kConfig.num_stages];
    uint4 received[Fragments::kSlots][32];
    float transposed[kNumMathWarps][8][20];
    ptx::Mbarrier all_received;
  };

  // With all rows of A.
  static constexpr u32 kTransactionBytes =
      kStageKBlocks *
      ((kBlockM + kBlockN) * kBlockK + kBlockM * 4 + (kConfig.sfb_per_row ? kBlockN * 4 : 0));

  using Ring = StageRing<Stage, kConfig.num_stages>;
};

}  // namespace jdg
