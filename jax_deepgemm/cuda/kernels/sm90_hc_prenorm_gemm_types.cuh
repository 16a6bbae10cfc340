// Configuration, parameters and shared memory of the Hopper kernel for a product with the sums of
// squares of its rows.
#pragma once

#include "common/barrier_ring.cuh"
#include "common/math.cuh"
#include "mma/sm90_bf16.cuh"
#include "ptx/sync.cuh"

namespace jdg {

// Mirrors `Sm90HcPrenormGemmConfig` in heuristics/sm90_hc_prenorm_gemm.py.
struct Sm90HcPrenormGemmConfig {
  int block_n;              // Rows of B of a tile.
  int num_math_warpgroups;  // Each has 64 rows of A.
  int num_teams;            // Of so many warpgroups; they take stages in turn.
  int num_stages;
  int stage_k_blocks;  // Blocks of K, 64 elements, that are loaded together.
  int num_splits;      // CTAs of a cluster, which share out K.
  int ctas_per_sm;     // CTAs that have room on one multiprocessor.
  bool evict_first;    // What L2 holds of A is the first to be replaced.

  constexpr int block_m() const { return num_math_warpgroups * 64; }
};

struct Sm90HcPrenormGemmParams {
  const ptx::TensorMap* a;  // bfloat16 {K, M, group}, boxes of a K block and block_m rows.
  const ptx::TensorMap* b;  // float32 {K, N, group}, boxes of half a K block and block_n rows.
  float* d;                 // [partial, group, m, n].
  float* sqr_sum;           // [partial, group, m].
  u32 m;
  u32 n;
  u32 num_k_blocks;
  u32 num_m;  // Tiles along M,
  u32 num_n;  // and along N.
  u32 num_groups;
  u32 num_partials;  // Parts of K that are summed apart.
};

// Part `index` of `count` of a range: the first ones are longer by one if they are not all equal.
struct Range {
  u32 begin;
  u32 end;

  __device__ __forceinline__ Range part(u32 index, u32 count) const {
    const u32 size = (end - begin) / count;
    const u32 longer = (end - begin) - size * count;
    const u32 first = begin + index * size + min(index, longer);
    return {first, first + size + (index < longer)};
  }
};

// What a CTA computes. Tiles that differ in N alone lie next to each other: they read the same A.
template <Sm90HcPrenormGemmConfig kConfig>
struct Sm90HcPrenormGemmWork {
  u32 rank;
  u32 row;     // Of A, the first one.
  u32 column;  // Of D.
  u32 group;
  u32 result;  // partial * num_groups + group.
  Range k_blocks;

  __device__ __forceinline__ explicit Sm90HcPrenormGemmWork(const Sm90HcPrenormGemmParams& params)
      : rank(kConfig.num_splits > 1 ? ptx::cluster_cta_rank() : 0) {
    const u32 tile = blockIdx.x / kConfig.num_splits;
    const u32 tile_m = tile / params.num_n;
    column = (tile - tile_m * params.num_n) * kConfig.block_n;
    result = tile_m / params.num_m;
    row = (tile_m - result * params.num_m) * kConfig.block_m();
    const u32 partial = result / params.num_groups;
    group = result - partial * params.num_groups;
    k_blocks = Range{0, params.num_k_blocks}
                   .part(partial, params.num_partials)
                   .part(rank, kConfig.num_splits);
  }
};

// What follows from a configuration.
template <Sm90HcPrenormGemmConfig kOwnConfig>
struct Sm90HcPrenormGemmTraits {
  static constexpr Sm90HcPrenormGemmConfig kConfig = kOwnConfig;
  static constexpr int kBlockM = kConfig.block_m();
  static constexpr int kBlockN = kConfig.block_n;
  static constexpr int kTeamThreads = kConfig.num_math_warpgroups * 128;
  static constexpr int kMathThreads = kTeamThreads * kConfig.num_teams;
  static constexpr int kNumThreads = kMathThreads + 32;
  static constexpr int kMathBarrier = 1;  // Named barrier of the math warps,
  static constexpr int kTeamBarrier = 2;  // and of the first team.
  // Sums of a tile that meet at the end: those of every team of every split.
  static constexpr int kNumParts = kConfig.num_splits * kConfig.num_teams;
  static constexpr int kMmaN = 2 * kBlockN;
  using Sums = float[kMmaN / 2];

  static_assert(kBlockN % 8 == 0, "rows of B fill whole atoms of the swizzle");
  // A wait for a stage tells odd rounds from even ones. It must not be early by two, as it could if
  // another team had the stage in the round before.
  static_assert(kConfig.num_stages % kConfig.num_teams == 0, "a stage is always the same team's");

  // B of a K block: two halves of it, lines of 32 float32. When they are split, in place: the
  // leading parts of the whole block, lines of 64 bfloat16, and then the trailing ones.
  struct Weights {
    u8 half[2][kBlockN * kBf16LineBytes];
  };

  struct alignas(1024) Stage {
    u8 a[kConfig.stage_k_blocks][kBlockM * kBf16LineBytes];
    Weights b[kConfig.stage_k_blocks];
  };

  // Of a tile; see the kernel's store.
  struct Fragments {
    static constexpr int kCount = (kBlockN / 8 + 1) * (kTeamThreads / 32);
    static constexpr int kOwn = ceil_div(kCount, kConfig.num_splits);
  };

  // This CTA's fragments of every part.
  struct Exchange {
    uint4 received[kNumParts * Fragments::kOwn][32];
  };

  struct Smem {
    Stage stages[kConfig.num_stages];
    StageBarriers barriers[kConfig.num_stages];
    ptx::Mbarrier all_received;

    // Where the stages are, until all CTAs of the cluster are done with them.
    __device__ __forceinline__ Exchange& exchange() { return *reinterpret_cast<Exchange*>(this); }
  };
  static_assert(sizeof(Exchange) <= sizeof(Stage) * kConfig.num_stages);

  static constexpr u32 kTransactionBytes = sizeof(Stage);

  using Ring = BarrierRing<Stage, kConfig.num_stages>;
  using Work = Sm90HcPrenormGemmWork<kConfig>;
};

}  // namespace jdg
