// Configuration, parameters and shared memory of the Hopper BF16 GEMM with swapped operands.
#pragma once

#include "common/barrier_ring.cuh"
#include "common/k_cut.cuh"
#include "common/swapped_tile.cuh"
#include "mma/sm90_bf16.cuh"

namespace jdg {

// Mirrors `Sm90Bf16GemmSwappedConfig` in heuristics/sm90_bf16_gemm_swapped.py.
struct Sm90Bf16GemmSwappedConfig {
  int block_m;              // Rows of A, all of them: wgmma's N.
  int num_math_warpgroups;  // Each has 64 rows of B.
  int num_stages;
  int stage_k_blocks;     // K blocks of 64 that are loaded together.
  int num_splits;         // CTAs of a cluster, which share out K.
  int ctas_per_sm;        // CTAs that have room on one multiprocessor.
  bool prefetch_weights;  // Fetch the first stages of B to L2 before the previous kernel ends.
  bool evict_first;       // What L2 holds of B is the first to be replaced.
  bool a_mn_major;        // A is [K, M] in memory, else [M, K].
  bool b_mn_major;        // B is [K, N] in memory, else [N, K].
  bool float32_out;       // D and C are float32, else bfloat16.
  bool with_c;

  constexpr int block_n() const { return num_math_warpgroups * 64; }
};

struct Sm90Bf16GemmSwappedParams {
  const ptx::TensorMap* a;  // {K, M, group}, or {64, M, whole blocks, group} if stage_k_blocks >
                            // 1, or {M, K, group} if a_mn_major.
  const ptx::TensorMap* b;  // As `a`, with N for M.
  const void* c;            // [group, m, pitch] or as `lines` says; if with_c.
  void* d;                  // As `c`.
  u32 m;
  u32 pitch;  // Elements of a row of C and D, a multiple of 4.
  u32 num_k_blocks;
  u32 num_n;  // Tiles along N.
  KCut cut;   // If stage_k_blocks > 1; all of A may come through its `a`: see SwappedRows.
  LineSteps lines;
};

// What follows from a configuration.
template <Sm90Bf16GemmSwappedConfig kOwnConfig>
struct Sm90Bf16GemmSwappedTraits {
  static constexpr Sm90Bf16GemmSwappedConfig kConfig = kOwnConfig;
  using Params = Sm90Bf16GemmSwappedParams;
  static constexpr int kBlockM = kConfig.block_m;
  static constexpr int kBlockN = kConfig.block_n();
  static constexpr int kStageKBlocks = kConfig.stage_k_blocks;
  static constexpr int kNumSplits = kConfig.num_splits;
  static constexpr int kNumMathWarps = kConfig.num_math_warpgroups * 4;
  static constexpr int kNumThreads = kNumMathWarps * 32 + 32;
  using Fragments = SwappedFragments<kBlockM, kNumMathWarps, kNumSplits>;
  using Work = SwappedWork<kBlockN, kStageKBlocks, kNumSplits>;
  using Rows = SwappedRows<kBlockM, kStageKBlocks, kBf16LineBytes, kConfig.a_mn_major>;
  using Sums = float[kBlockM / 2];

  // Rows of A that a stage holds: lines of an MN-major operand have 64.
  static constexpr int kARows =
      kConfig.a_mn_major ? ceil_div(kBlockM, kBf16AtomRows) * kBf16AtomRows : kBlockM;

  static_assert(kBlockM % 8 == 0 && kBlockM <= 256, "wgmma takes N in multiples of 8 up to 256");
  static_assert(!kConfig.b_mn_major || kStageKBlocks <= 4, "a box of TMA has 256 lines at most");

  struct alignas(1024) Stage {
    // K-major: a block of K after the other, each with all rows. MN-major: 64 rows after the other,
    // each with all blocks of K, which are one box.
    u8 b[kStageKBlocks * kBlockN * kBf16LineBytes];
    u8 a[kStageKBlocks][kARows * kBf16LineBytes];
  };

  struct Smem {
    Stage stages[kConfig.num_stages];
    uint4 received[Fragments::kSlots][32];
    float transposed[kNumMathWarps][8][20];
    ptx::Mbarrier all_received;
    StageBarriers barriers[kConfig.num_stages];
  };

  // With all rows of A.
  static constexpr u32 kTransactionBytes = kStageKBlocks * (kARows + kBlockN) * kBf16LineBytes;

  using Ring = BarrierRing<Stage, kConfig.num_stages>;

  // Where in Stage::b a warpgroup's 64 rows of a block of K begin.
  __device__ static __forceinline__ u32 b_offset(u32 warpgroup, int block) {
    constexpr bool kMnMajor = kConfig.b_mn_major;
    constexpr u32 kPerWarpgroup = (kMnMajor ? kStageKBlocks : 1) * kBf16AtomBytes;
    constexpr u32 kPerBlock = (kMnMajor ? 1 : kConfig.num_math_warpgroups) * kBf16AtomBytes;
    return warpgroup * kPerWarpgroup + block * kPerBlock;
  }
};

}  // namespace jdg
