// Configuration, parameters and shared memory of the Hopper FP8 GEMM with FP4 weights and swapped
// operands.
#pragma once

#include "common/fp4_exponents.cuh"
#include "common/fp4_halves.cuh"
#include "common/grouped_tile_scheduler.cuh"
#include "common/k_cut.cuh"
#include "common/pipeline.cuh"
#include "common/promote.cuh"
#include "common/swapped_tile.cuh"
#include "common/zero_rows.cuh"
#include "mma/sm90_fp8_rows.cuh"

namespace jdg {

// Mirrors `Sm90Fp8Fp4GemmSwappedConfig` in heuristics/sm90_fp8_fp4_gemm_swapped.py.
struct Sm90Fp8Fp4GemmSwappedConfig {
  int block_m;              // Rows of A, all of them or some of a group: wgmma's N.
  int num_math_warpgroups;  // Each has 64 rows of B.
  int num_stages;
  int stage_k_blocks;     // K blocks that are loaded together.
  int mma_groups;         // Groups of 32 of K whose products are in flight at a time.
  int num_splits;         // CTAs of a cluster, which share out K.
  int ctas_per_sm;        // CTAs that have room on one multiprocessor.
  bool prefetch_weights;  // Fetch the first stages of B to L2 before the previous kernel ends.
  bool evict_first;       // What L2 holds of B is the first to be replaced.
  bool float32_out;       // D and C are float32, else bfloat16.
  bool with_c;
  int max_groups;  // Rows of A and D belong to at most so many groups; 0: B has one for each.

  constexpr bool groups_rows() const { return max_groups > 0; }
  constexpr int block_n() const { return num_math_warpgroups * 64; }
  // Warps that reorder A, one for 32 rows. With three, registers of eight warps are left.
  constexpr int num_token_warps() const { return block_m > 64 ? 3 : block_m > 32 ? 2 : 1; }
};

struct Sm90Fp8Fp4GemmSwappedParams {
  const ptx::TensorMap*
      a;  // {K, M, group}, or {128, M, whole blocks, group} if stage_k_blocks > 1.
  const ptx::TensorMap* b;    // {K / 2, N, group}, or {64, N, whole blocks, group}: bytes of codes.
  const ptx::TensorMap* sfa;  // {align(M, 4), K / 128, group}.
  const u32* exponents;       // [group, n, num_k_blocks]: four UE8M0 scales of 32 codes each.
  const void* c;              // [group, m, pitch]; if with_c.
  void* d;                    // [group, m, pitch].
  u32 m;
  u32 n;
  u32 pitch;  // Elements of a row of C and D, a multiple of 4.
  u32 num_k_blocks;
  u32 num_fp4_groups;  // Groups of 32 along K.
  u32 num_n;           // Tiles along N.
  KCut cut;            // If stage_k_blocks > 1; all of A may come through its `a`: see SwappedRows.
  LineSteps lines;
};

// Of groups of rows. A and D have no other: {K, M, 1}; `m`, `sfa`, `c` and `lines` are of no use,
// and boxes of A have block_m rows.
struct Sm90MGroupedFp8Fp4GemmSwappedParams : Sm90Fp8Fp4GemmSwappedParams {
  const float* scales;  // [num_k_blocks, scales_pitch]: those of rows of A.
  u32 scales_pitch;
  TileGrid grid;
  RowGroups groups;
  WordRows d_rows;
  const u64* row_addresses;  // Of rows of D, 0 for those that nobody wants; null: they are in d.
};

// Where the operands of a tile begin.
struct SwappedPlace {
  u32 row;      // Of A,
  u32 end;      // where its rows end, if they are a group's,
  u32 a_group;  // and which of the matrices of A has them.
  u32 column;   // Of D: a row of B.
  u32 b_group;
};

// What follows from a configuration.
template <Sm90Fp8Fp4GemmSwappedConfig kOwnConfig>
struct Sm90Fp8Fp4GemmSwappedTraits {
  static constexpr Sm90Fp8Fp4GemmSwappedConfig kConfig = kOwnConfig;
  static constexpr bool kGroupsRows = kConfig.groups_rows();
  using Params =
      Conditional<kGroupsRows, Sm90MGroupedFp8Fp4GemmSwappedParams, Sm90Fp8Fp4GemmSwappedParams>;
  static constexpr int kBlockM = kConfig.block_m;
  static constexpr int kBlockN = kConfig.block_n();
  static constexpr int kStageKBlocks = kConfig.stage_k_blocks;
  static constexpr int kNumSplits = kConfig.num_splits;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr int kNumTokenWarps = kConfig.num_token_warps();
  static constexpr int kNumThreads = (kNumMathWarps + 1 + kNumTokenWarps) * 32;
  static constexpr int kAccumulators = kBlockM / 2;
  static constexpr int kCodeBytes = kBlockK / 2;  // Of a row of B in a K block.

  using Fragments = SwappedFragments<kBlockM, kNumMathWarps, kNumSplits>;
  using Work = SwappedWork<kBlockN, kStageKBlocks, kNumSplits>;
  using Rows = SwappedRows<kBlockM, kStageKBlocks, kBlockK, kGroupsRows>;
  using Sums = float[kAccumulators];

  static_assert(kBlockM % 8 == 0 && kBlockM <= 256, "wgmma takes N in multiples of 8 up to 256");
  static_assert(kBlockK / kFp4Group % kConfig.mma_groups == 0, "a K block is whole rounds");
  static_assert(!kGroupsRows || (kNumSplits == 1 && !kConfig.with_c && !kConfig.prefetch_weights),
                "groups have tiles enough, and only the device knows which of them have rows");

  // Of a row of B, four UE8M0 scales a K block; read at once.
  struct alignas(kStageKBlocks * 4) Exponents {
    u32 of_block[kStageKBlocks];
  };

  // One object per stage, so that the main loop moves one address from stage to stage.
  struct alignas(1024) Stage {
    u8 b[kStageKBlocks][kBlockN * kCodeBytes];
    u8 a[kStageKBlocks][kBlockM * kBlockK];
    float sfa[kStageKBlocks][kBlockM];
    Exponents exponents[kBlockN];
    ptx::Mbarrier full;   // Filled by loads, awaited by math and by those that reorder A.
    ptx::Mbarrier ready;  // A has been reordered; awaited by math.
    ptx::Mbarrier empty;  // Released by math.
  };

  struct NoTable {};

  struct Smem {
    Stage stages[kConfig.num_stages];
    uint4 received[Fragments::kSlots][32];
    float transposed[kNumMathWarps][8][20];
    ptx::Mbarrier all_received;
    Conditional<kGroupsRows, GroupTable<kConfig.max_groups>, NoTable> table;
  };

  // With all rows of A. Scales of groups' rows are copied by threads.
  static constexpr u32 kTransactionBytes =
      kStageKBlocks * (kBlockM * kBlockK + kBlockN * kCodeBytes + (kGroupsRows ? 0 : kBlockM * 4));

  using Ring = StageRing<Stage, kConfig.num_stages>;

  __device__ static __forceinline__ u32 num_stages(u32 num_k_blocks) {
    return (num_k_blocks + kStageKBlocks - 1) / kStageKBlocks;
  }
};

}  // namespace jdg
