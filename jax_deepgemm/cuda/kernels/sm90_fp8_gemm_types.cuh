// Configuration, parameters and shared memory of the Hopper FP8 GEMM.
#pragma once

#include "common/grouped_tile_scheduler.cuh"
#include "common/k_cut.cuh"
#include "common/math.cuh"
#include "common/pipeline.cuh"
#include "common/row_rest.cuh"
#include "common/tile_columns.cuh"
#include "common/tile_scheduler.cuh"
#include "common/tile_store.cuh"
#include "common/zero_rows.cuh"
#include "mma/sm90_fp8.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// Mirrors `Sm90Fp8GemmConfig` in heuristics/sm90_fp8_gemm.py.
struct Sm90Fp8GemmConfig {
  int num_math_warpgroups;  // Each has `num_slabs` slabs of 64 rows.
  int num_slabs;
  int block_n;
  int num_stages;
  int stage_k_blocks;   // K blocks that are loaded together.
  int a_rows;           // Rows of A that a stage holds; fewer than the tile's when M is small.
  int cluster_m;        // CTAs along M that share each tile of B,
  int cluster_n;        // or along N that share each tile of A; one of the two is 1.
  int num_store_slots;  // Staging buffers of a warp for boxes of main columns.
  int num_early_boxes;  // Boxes of a tile that are stored before the next one begins.
  bool sfb_per_row;     // sfb is per row of B, else per 128 rows.
  bool float32_out;     // D and C are float32, else bfloat16.
  bool with_c;
  int max_groups;      // Rows of A and D belong to at most so many groups; 0: B has one for each.
  bool scatters_rows;  // Each row of D has an address of its own; if groups_rows().

  constexpr int block_m() const { return num_math_warpgroups * num_slabs * 64; }
  constexpr int cluster_size() const { return cluster_m * cluster_n; }
  constexpr bool groups_rows() const { return max_groups > 0; }
};

struct Sm90Fp8GemmParams {
  const ptx::TensorMap*
      a;  // {K, M, group}, or {128, M, whole blocks, group} if stage_k_blocks > 1.
  const ptx::TensorMap* b;       // As `a`, with N for M; boxes of the main columns of a tile,
  const ptx::TensorMap* b_rest;  // and of the rest.
  const ptx::TensorMap* sfa;     // {align(M, 4), K / 128, group}.
  const ptx::TensorMap* sfb;     // {align(N, 4), K / 128, group}; if sfb_per_row.
  const ptx::TensorMap* d;       // {pitch, M, group}; boxes of the main columns of a tile,
  const ptx::TensorMap* d_rest;  // and of the rest.
  const float* sfb_blocks;       // [group, sfb_rows, num_k_blocks]; unless sfb_per_row.
  const void* c;                 // [group, m, pitch]; if with_c.
  u32 m;
  u32 pitch;  // Elements of a row of C and D.
  u32 num_k_blocks;
  u32 sfb_rows;
  TileGrid grid;
  const ptx::TensorMap* a_slab;  // As `a`, in boxes of one slab and K block; if groups_rows(),
  RowGroups groups;              // as all that follows.
  WordRows d_rows;  // If scatters_rows, D's place is taken by u64 [m], addresses of rows; 0: none.
  KCut cut;         // If stage_k_blocks > 1, and K may end within a block.
  const ptx::TensorMap* a_rest = nullptr;  // {K, M, group}, in boxes of one K block of the last
                                           // tile's rows; if kLoadsRest.
};

// The work of a dense product: which tiles there are, and which K blocks of which group of A and B
// belong to one. Other products have other types with the same members; groups of rows go by
// their configuration.
struct DenseWork {
  using Params = Sm90Fp8GemmParams;
  using Tile = TileIndex;
  using Scheduler = TileScheduler;
  struct Table {};                            // What a CTA looks up in shared memory.
  static constexpr bool kReadsTable = false;  // To know which tiles there are.
  // The rows with which A ends within a tile come through a map of their own.
  static constexpr bool kLoadsRest = true;

  __device__ static __forceinline__ void prepare(const Params&, Table&) {}

  __device__ static __forceinline__ Scheduler scheduler(const Params& params, const Table&,
                                                        u32 cluster, u32 num_clusters) {
    return TileScheduler(params.grid, cluster, num_clusters);
  }

  // Which of the matrices of an operand is meant by a tile's group.
  __device__ static __forceinline__ u32 operand_group(u32 group) { return group; }

  template <typename Tile>
  __device__ static __forceinline__ u32 first_k_block(const Tile&) {
    return 0;
  }

  template <typename Tile>
  __device__ static __forceinline__ u32 num_k_blocks(const Params& params, const Tile&) {
    return params.num_k_blocks;
  }
};

// Whether B comes as FP4 codes, which a warpgroup of its own decodes.
template <typename Work>
inline constexpr bool kDecodesB = false;

// A stage's scales of B where it is decoded.
template <int kBlockN>
struct DecodedScales {
  float scales[2];         // That of the K block, and not 0 if it has none.
  u32 exponents[kBlockN];  // Four of 32 codes each, a row of B.
  uint2 extremes[2][4];    // Of each warp's rows of B: by exponents, by codes too.
  ptx::Mbarrier decoded;   // Filled by those who decode, awaited by math.

  __device__ __forceinline__ float* operator[](int) { return scales; }
  __device__ __forceinline__ const float* operator[](int) const { return scales; }
};

// What follows from a configuration.
template <Sm90Fp8GemmConfig kConfig, typename Work = DenseWork>
struct Sm90Fp8GemmTraits {
  using Params = typename Work::Params;
  static constexpr int kBlockM = kConfig.block_m();
  static constexpr int kBlockN = kConfig.block_n;
  static constexpr int kNumStages = kConfig.num_stages;
  static constexpr int kStageKBlocks = kConfig.stage_k_blocks;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr bool kDecodes = kDecodesB<Work>;
  static constexpr int kNumThreads = kNumMathWarps * 32 + (kDecodes ? 256 : 128);
  static constexpr int kAccumulators = kBlockN / 2;
  // Wide tiles have their columns from two places, each with its row of sfb. Others start at
  // multiples of gcd(kBlockN, 128), so they may reach into a second row of sfb.
  static constexpr bool kShares = !kConfig.sfb_per_row && kBlockN > 128;
  static constexpr bool kSplitsScale =
      !kConfig.sfb_per_row && !kShares && !kDecodes && 128 % kBlockN != 0;
  using Columns = TileColumns<kBlockN, kShares>;
  // One lane per scale of B and stage.
  static constexpr int kScaleLanes = kConfig.sfb_per_row || kDecodes ? 0 : kStageKBlocks * 2;
  using Boxes = StoreBoxes<Columns::kMain, Columns::kRest, kConfig.float32_out>;
  using Sums = float[kConfig.num_slabs][kAccumulators];
  static constexpr bool kGroupsRows = kConfig.groups_rows();
  static constexpr bool kLoadsRest = Work::kLoadsRest && !kGroupsRows;
  static constexpr u32 kClusterRows = kConfig.cluster_m * kBlockM;
  using Tile = Conditional<kGroupsRows, GroupedTile, typename Work::Tile>;
  using Scheduler =
      Conditional<kGroupsRows, GroupedTileScheduler<kConfig.max_groups>, typename Work::Scheduler>;
  // A tile of a group may begin at any row, where TMA takes multiples of 16 bytes.
  static constexpr int kScaleRows = kBlockM + (kGroupsRows && kBlockM < 256 ? 4 : 0);

  static_assert(kBlockN % 8 == 0 && kBlockN <= 256, "wgmma takes N in multiples of 8 up to 256");
  static_assert(kConfig.sfb_per_row || kShares || kBlockN + 128 - gcd(kBlockN, 128) <= 256,
                "a tile may touch two rows of sfb");
  static_assert(!kShares || kStageKBlocks == 1, "wgmma needs the rows of B one after the other");
  static_assert(kConfig.a_rows % 8 == 0 && kConfig.a_rows <= kBlockM, "swizzle atoms are 8 rows");
  static_assert(kConfig.cluster_m == 1 || kConfig.cluster_n == 1, "a cluster shares one operand");
  static_assert(!kGroupsRows || kConfig.a_rows == kBlockM, "a group may have any number of rows");
  static_assert(!kGroupsRows || (!kConfig.sfb_per_row && !kConfig.with_c),
                "there is no use for it");
  static_assert(!kConfig.scatters_rows || (kGroupsRows && !kConfig.float32_out),
                "there is no use for it");
  static_assert(kScaleLanes <= 32, "one warp loads the scales of a stage");
  static_assert(!kDecodes || (kBlockN <= 128 && kStageKBlocks == 1 && !kConfig.sfb_per_row),
                "a thread decodes a row of B in place");

  // One object per stage, so that the main loop moves one address from stage to stage.
  struct alignas(1024) Stage {
    u8 a[kStageKBlocks][kConfig.a_rows * kBlockK];
    u8 b[kStageKBlocks][kBlockN * kBlockK];
    float sfa[kStageKBlocks][kScaleRows];
    Conditional<kDecodes, DecodedScales<kBlockN>,
                float[kStageKBlocks][kConfig.sfb_per_row ? kBlockN : 2]>
        sfb;
    ptx::Mbarrier full;   // Filled by TMA and the scale warp, awaited by math.
    ptx::Mbarrier empty;  // Released by math of all CTAs of the cluster.
  };

  // wgmma reads whole slabs, so the last stage's reach past the rows that it holds. Their results
  // lie outside D and are never stored, but the reads must stay in shared memory.
  static constexpr int kOverrun = (kBlockM - kConfig.a_rows) * kBlockK + 16;

  // Staging of a warp. The slots of all warps for main columns come first: their swizzle needs
  // addresses that are multiples of 1024.
  static constexpr int kMainSlotBytes = kConfig.num_store_slots * Boxes::kMainBytes;
  static constexpr int kRestSlotBytes = kConfig.num_slabs * Boxes::kRestCount * Boxes::kRestBytes;

  struct PlainSmem {
    Stage stages[kNumStages];
    u8 store[kNumMathWarps * (kMainSlotBytes + kRestSlotBytes)];
    u8 overrun[kOverrun];
  };

  struct GroupedSmem : PlainSmem {
    GroupTable<kConfig.max_groups> table;
  };

  struct WorkSmem : PlainSmem, Work::Table {};

  using Smem = Conditional<kGroupsRows, GroupedSmem, WorkSmem>;

  static constexpr u32 kTransactionBytes =
      kStageKBlocks *
      ((kConfig.a_rows + kBlockN) * kBlockK + kScaleRows * 4 +
       (kConfig.sfb_per_row ? kBlockN * 4 : 0) - (kDecodes ? kBlockN * kBlockK / 2 : 0));
  static constexpr u32 kSlabBytes = 64 * kBlockK;  // Of A in one K block.

  using Ring = StageRing<Stage, kNumStages>;

  // What math awaits of a stage.
  __device__ static __forceinline__ ptx::Mbarrier& operands(Stage& stage) {
    if constexpr (kDecodes) {
      return stage.sfb.decoded;
    } else {
      return stage.full;
    }
  }

  __device__ static __forceinline__ u32 cta_rank() {
    return kConfig.cluster_size() > 1 ? ptx::cluster_cta_rank() : 0;
  }

  __device__ static __forceinline__ Scheduler scheduler(const Params& params, const Smem& smem) {
    const u32 cluster = blockIdx.x / kConfig.cluster_size();
    const u32 num_clusters = gridDim.x / kConfig.cluster_size();
    if constexpr (kGroupsRows) {
      return Scheduler(smem.table, params.grid, kClusterRows, cluster, num_clusters);
    } else {
      return Work::scheduler(params, smem, cluster, num_clusters);
    }
  }

  // Row in the tile of the first of a slab's 64; warp % 4 has 16 of them.
  __device__ static __forceinline__ u32 slab_row(u32 warp, int slab) {
    return (warp / 4 * kConfig.num_slabs + slab) * 64;
  }

  // Where the tile of CTA `rank` begins.
  __device__ static __forceinline__ u32 first_row(const Tile& tile, u32 rank) {
    const u32 in_cluster = kConfig.cluster_m > 1 ? rank : 0;
    if constexpr (kGroupsRows) {
      return tile.row + in_cluster * kBlockM;
    } else {
      return (tile.m * kConfig.cluster_m + in_cluster) * kBlockM;
    }
  }

  // Which of the matrices A and D it is in: groups of rows share one.
  __device__ static __forceinline__ u32 row_group(const Tile& tile) {
    return kGroupsRows ? 0 : tile.group;
  }

  // Slabs that have rows of the group, of the 64-row slabs from `first_row` on.
  __device__ static __forceinline__ u32 num_live_slabs(const Tile& tile, u32 first_row) {
    if constexpr (kGroupsRows) {
      return live_slabs(tile, first_row);
    } else {
      return ~0u;
    }
  }

  // Whether all rows of A that a stage holds are loaded of the tile that begins at `row`.
  __device__ static __forceinline__ bool loads_all_rows(const Params& params, u32 row) {
    return !kLoadsRest || row + kConfig.a_rows <= params.m;
  }

  // How far from the beginning of a stage's sfa the scale of `row` is, where a tile begins at it.
  __device__ static __forceinline__ u32 scale_shift(u32 row) {
    return kScaleRows > kBlockM ? row % 4 : 0;
  }

  __device__ static __forceinline__ Columns columns(const Tile& tile, u32 rank) {
    return Columns(tile.n * kConfig.cluster_n + (kConfig.cluster_n > 1 ? rank : 0));
  }
};

}  // namespace jdg
