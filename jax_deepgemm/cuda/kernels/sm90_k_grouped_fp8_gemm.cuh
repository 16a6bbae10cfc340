// D[g] = C[g] + the product of A and B over the K blocks of group g, scaled as in
// sm90_fp8_gemm.cuh.
//
// A and B have all groups side by side along K, each from a multiple of 128 on and followed by
// zeros, so one map covers an operand and a group is a range of K blocks. How long the groups are
// is read from memory: each CTA makes the same table of them, largest first, before it begins.
#pragma once

#include "common/k_grouped_scheduler.cuh"
#include "kernels/sm90_fp8_gemm.cuh"

namespace jdg {

struct Sm90KGroupedFp8GemmParams : Sm90Fp8GemmParams {
  const int* group_sizes;  // Elements of K, [grid.num_groups / num_parts].
  u32 num_parts;           // Parts of a group that are products of their own.
};

// `grid.num_groups` counts parts: part p of group g is group g * num_parts + p of D.
template <Sm90Fp8GemmConfig kConfig, int kMaxGroups>
struct KGroupedWork {
  using Params = Sm90KGroupedFp8GemmParams;
  using Tile = KGroupedTile;
  using Scheduler = KGroupedScheduler;
  using Table = KGroupTable<kMaxGroups>;
  static constexpr bool kReadsTable = true;
  static constexpr bool kLoadsRest = false;
  static constexpr u32 kNumThreads = kConfig.num_math_warpgroups * 128 + 128;
  static_assert(kConfig.stage_k_blocks == 1, "groups have any number of K blocks");

  __device__ static __forceinline__ void prepare(const Params& params, Table& table) {
    const u32 num_groups = params.grid.num_groups;
    for (u32 i = threadIdx.x; i < num_groups; i += kNumThreads) {
      const u32 group = i / params.num_parts;
      const u32 part = i - group * params.num_parts;
      const u32 size = num_blocks(params, params.group_sizes[group]);
      table.sizes[i] = size * (part + 1) / params.num_parts - size * part / params.num_parts;
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < num_groups; i += kNumThreads) place(params, table, i);
    __syncthreads();
  }

  __device__ static __forceinline__ Scheduler scheduler(const Params& params, const Table& table,
                                                        u32 cluster, u32 num_clusters) {
    return KGroupedScheduler(params.grid, table.order, table.num_worked, cluster, num_clusters);
  }

  __device__ static __forceinline__ u32 operand_group(u32) { return 0; }

  __device__ static __forceinline__ u32 first_k_block(const Tile& tile) {
    return tile.first_k_block;
  }

  __device__ static __forceinline__ u32 num_k_blocks(const Params&, const Tile& tile) {
    return tile.num_k_blocks;
  }

 private:
  // No more than there are, so that no sum of sizes overflows.
  __device__ static __forceinline__ u32 num_blocks(const Params& params, int size) {
    const u32 elements = size > 0 ? size : 0;
    return min((elements + kBlockK - 1) / kBlockK, params.num_k_blocks);
  }

  // Enters group `i` behind all that are larger, and behind those before it that are as large.
  __device__ static __forceinline__ void place(const Params& params, Table& table, u32 i) {
    const u32 end = params.num_k_blocks;
    const u32 size = table.sizes[i];
    u32 first = 0;
    u32 rank = 0;
    u32 num_worked = 0;
#pragma unroll 4
    for (u32 j = 0; j < params.grid.num_groups; ++j) {
      const u32 other = table.sizes[j];
      if (j < i) first = min(first + other, end);
      rank += other > size || (other == size && j < i);
      // Where C is in D's memory already there is nothing to do for a group of size 0.
      num_worked += other > 0 || !kConfig.with_c;
    }
    const u32 length = min(size, end - first);
    // A group without K blocks gets one that lies behind all of them, where TMA reads zeros: its
    // result is a sum like any other's.
    table.order[rank] = length > 0 ? KGroup{i, first, length} : KGroup{i, end, 1};
    if (i == 0) table.num_worked = num_worked;
  }
};

template <Sm90Fp8GemmConfig kConfig, int kMaxGroups>
using Sm90KGroupedFp8Gemm = Sm90Fp8Gemm<kConfig, KGroupedWork<kConfig, kMaxGroups>>;

}  // namespace jdg
