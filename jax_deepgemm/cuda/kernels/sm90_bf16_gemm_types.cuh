// Configuration, parameters and shared memory of the Hopper BF16 GEMM.
#pragma once

#include "common/barrier_ring.cuh"
#include "common/grouped_tile_scheduler.cuh"
#include "common/k_cut.cuh"
#include "common/math.cuh"
#include "common/row_rest.cuh"
#include "common/tile_columns.cuh"
#include "common/tile_result.cuh"
#include "common/tile_scheduler.cuh"
#include "common/zero_rows.cuh"
#include "mma/sm90_bf16.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// Mirrors `Sm90Bf16GemmConfig` in heuristics/sm90_bf16_gemm.py.
struct Sm90Bf16GemmConfig {
  int num_math_warpgroups;  // Each has `num_slabs` slabs of 64 rows.
  int num_slabs;
  int block_n;
  int num_stages;
  int stage_k_blocks;   // K blocks of 64 that are loaded together.
  int a_rows;           // Rows of A that a stage holds; fewer than the tile's when M is small.
  int cluster_m;        // CTAs along M that share each tile of B,
  int cluster_n;        // or along N that share each tile of A; one of the two is 1.
  int num_store_slots;  // Staging buffers of a warp.
  bool a_mn_major;      // A is [K, M] in memory, else [M, K].
  bool b_mn_major;      // B is [K, N] in memory, else [N, K].
  bool float32_out;     // D and C are float32, else bfloat16.
  bool with_c;
  int max_groups;      // Rows of A and D belong to at most so many groups; 0: B has one for each.
  bool scatters_rows;  // Each row of D has an address of its own; if groups_rows().

  constexpr int block_m() const { return num_math_warpgroups * num_slabs * 64; }
  constexpr int cluster_size() const { return cluster_m * cluster_n; }
  constexpr bool groups_rows() const { return max_groups > 0; }
};

struct Sm90Bf16GemmParams {
  const ptx::TensorMap* a;  // {K, M, group}, or {64, M, whole blocks, group} if stage_k_blocks >
                            // 1, or {M, K, group} if a_mn_major.
  const ptx::TensorMap* b;  // As `a`, with N for M.
  const ptx::TensorMap* d;  // {pitch, M, group}.
  const void* c;            // [group, m, pitch]; if with_c.
  u32 m;
  u32 pitch;  // Elements of a row of C and D.
  u32 num_k_blocks;
  TileGrid grid;
  const ptx::TensorMap* a_slab;  // As `a`, in boxes of one slab and K block; if groups_rows(),
  RowGroups groups;              // as all that follows.
  WordRows d_rows;  // If scatters_rows, D's place is taken by u64 [m], addresses of rows; 0: none.
  KCut cut;         // If stage_k_blocks > 1, and K may end within a block.
  const ptx::TensorMap* a_rest = nullptr;  // {K, M, group}, in boxes of one K block of the last
                                           // tile's rows; if kLoadsRest.
};

// Where a block of K lies: in which of an operand's matrices, and which block it is there.
struct KPlace {
  u32 group;
  u32 k_block;
};

// The work of a dense product, as DenseWork in sm90_fp8_gemm_types.cuh. Tiles go by value: given
// references, ptxas makes another program of the dense kernel, one that was not measured.
struct DenseBf16Work {
  using Params = Sm90Bf16GemmParams;
  using Tile = TileIndex;
  using Scheduler = TileScheduler;
  struct Table {};  // What a CTA keeps in shared memory besides stages.
  // C is in D's memory, where TMA adds to it.
  static constexpr bool kAddsInMemory = false;
  // Where a tile's K ends, lines of its last stage are to be cleared: what they hold is another's.
  static constexpr bool kCutsK = false;
  // K goes through several of an operand's matrices, and Work::place() says where it is.
  static constexpr bool kBatchesK = false;
  // The rows with which A ends within a tile come through a map of their own, if K-major.
  static constexpr bool kLoadsRest = true;

  __device__ static __forceinline__ void prepare(const Params&, Table&) {}

  __device__ static __forceinline__ Scheduler scheduler(const Params& params, const Table&,
                                                        u32 cluster, u32 num_clusters) {
    return Scheduler(params.grid, cluster, num_clusters);
  }

  // Which of the matrices of an operand is meant by a tile's group.
  __device__ static __forceinline__ u32 operand_group(u32 group) { return group; }

  // Element of K at which a tile's blocks begin.
  template <typename Tile>
  __device__ static __forceinline__ u32 first_k(Tile) {
    return 0;
  }

  template <typename Tile>
  __device__ static __forceinline__ u32 num_k_blocks(const Params& params, Tile) {
    return params.num_k_blocks;
  }
};

// What follows from a configuration.
template <Sm90Bf16GemmConfig kConfig, typename Work = DenseBf16Work>
struct Sm90Bf16GemmTraits {
  using Params = typename Work::Params;
  static constexpr int kBlockM = kConfig.block_m();
  static constexpr int kBlockN = kConfig.block_n;
  static constexpr int kNumStages = kConfig.num_stages;
  static constexpr int kStageKBlocks = kConfig.stage_k_blocks;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr int kNumThreads = kNumMathWarps * 32 + 128;
  static constexpr int kAccumulators = kBlockN / 2;
  using Columns = TileColumns<kBlockN, false>;
  using Boxes = StoreBoxes<kBlockN, 0, kConfig.float32_out>;
  using Result = TileResult<kBlockN, kConfig.float32_out>;
  using Sums = float[kConfig.num_slabs][kAccumulators];
  using Results = typename Result::Value[kConfig.num_slabs][Result::kCount];
  static constexpr bool kGroupsRows = kConfig.groups_rows();
  static constexpr bool kLoadsRest = Work::kLoadsRest && !kGroupsRows && !kConfig.a_mn_major;
  static constexpr u32 kClusterRows = kConfig.cluster_m * kBlockM;
  using Tile = Conditional<kGroupsRows, GroupedTile, typename Work::Tile>;
  using Scheduler =
      Conditional<kGroupsRows, GroupedTileScheduler<kConfig.max_groups>, typename Work::Scheduler>;
  static constexpr bool kAddsInMemory = kConfig.with_c && Work::kAddsInMemory;
  static constexpr bool kLoadsC = kConfig.with_c && !Work::kAddsInMemory;

  static_assert(kBlockN % 8 == 0 && kBlockN <= 256, "wgmma takes N in multiples of 8 up to 256");
  static_assert(kConfig.a_rows % 8 == 0 && kConfig.a_rows <= kBlockM, "swizzle atoms are 8 rows");
  static_assert(!kConfig.a_mn_major || kConfig.a_rows == kBlockM, "atoms are 64 rows if MN-major");
  static_assert(!kConfig.b_mn_major || kBlockN % kBf16AtomRows == 0,
                "atoms are 64 rows if MN-major");
  static_assert(kConfig.cluster_m == 1 || kConfig.cluster_n == 1, "a cluster shares one operand");
  static_assert(!kGroupsRows || kConfig.a_rows == kBlockM, "a group may have any number of rows");
  static_assert(!kGroupsRows || (!kConfig.a_mn_major && !kConfig.with_c), "there is no use for it");
  static_assert(!kConfig.scatters_rows || (kGroupsRows && !kConfig.float32_out),
                "there is no use for it");

  struct alignas(1024) Stage {
    u8 a[kStageKBlocks][kConfig.a_rows * kBf16LineBytes];
    u8 b[kStageKBlocks][kBlockN * kBf16LineBytes];
  };

  // wgmma reads whole slabs, so the last stage's reach past the rows that it holds. Their results
  // lie outside D and are never stored, but the reads must stay in shared memory.
  static constexpr int kOverrun = (kBlockM - kConfig.a_rows) * kBf16LineBytes;
  static constexpr int kWarpStoreBytes = kConfig.num_store_slots * Boxes::kMainBytes;

  struct PlainSmem {
    Stage stages[kNumStages];
    u8 store[kNumMathWarps * kWarpStoreBytes];
    StageBarriers barriers[kNumStages];
    u8 overrun[kOverrun + 16];
  };

  struct GroupedSmem : PlainSmem {
    GroupTable<kConfig.max_groups> table;
  };

  struct WorkSmem : PlainSmem, Work::Table {};

  using Smem = Conditional<kGroupsRows, GroupedSmem, WorkSmem>;

  static constexpr u32 kTransactionBytes =
      kStageKBlocks * (kConfig.a_rows + kBlockN) * kBf16LineBytes;
  static constexpr u32 kSlabBytes = 64 * kBf16LineBytes;  // Of A in one K block.

  using Ring = BarrierRing<Stage, kNumStages>;

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

  __device__ static __forceinline__ Columns columns(const Tile& tile, u32 rank) {
    return Columns(tile.n * kConfig.cluster_n + (kConfig.cluster_n > 1 ? rank : 0));
  }
};

}  // namespace jdg
