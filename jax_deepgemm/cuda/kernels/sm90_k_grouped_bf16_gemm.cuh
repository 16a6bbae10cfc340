// D[g] = C[g] + A^T B over the rows of group g, A [K, M] and B [K, N] bfloat16, D float32.
//
// The kernel of sm90_bf16_gemm.cuh with tiles that differ in K. A group begins at any row of A and
// B and ends at any: its last 64 rows may reach into the next group, whose rows are cleared in
// shared memory, in A as in B, since zero times infinity is not zero. A warp that loads nothing
// does that, ahead of the math warps: TMA tells it, instead of them, that such a stage has arrived.
#pragma once

#include "common/k_grouped_scheduler.cuh"
#include "kernels/sm90_bf16_gemm.cuh"

namespace jdg {

struct Sm90KGroupedBf16GemmParams : Sm90Bf16GemmParams {
  const int* group_starts;  // First row of each group, [grid.num_groups / num_parts],
  const int* group_sizes;   // and how many it has.
  u32 num_parts;            // Parts of a group that are products of their own.
  u32 num_k;                // Rows of A and B.
};

// `grid.num_groups` counts parts: part p of group g is group g * num_parts + p of D. Groups begin
// anywhere, so what the scheduler and its table call a K block is one row here.
template <Sm90Bf16GemmConfig kConfig, int kMaxGroups>
struct KGroupedBf16Work {
  using Params = Sm90KGroupedBf16GemmParams;
  using Tile = KGroupedTile;
  using Scheduler = KGroupedScheduler;
  struct Table : KGroupTable<kMaxGroups> {
    ptx::Mbarrier uncut[kConfig.num_stages];  // Stages that are filled, but not cut yet.
  };
  static constexpr bool kAddsInMemory = true;
  static constexpr bool kCutsK = true;
  static constexpr bool kBatchesK = false;
  static constexpr bool kLoadsRest = false;
  static constexpr u32 kNumThreads = kConfig.num_math_warpgroups * 128 + 128;
  static_assert(kConfig.stage_k_blocks == 1, "groups have any number of K blocks");
  static_assert(kConfig.a_mn_major && kConfig.b_mn_major, "K is cut between lines of a stage");
  static_assert(kConfig.float32_out || !kConfig.with_c, "C is added in memory, in float32");
  static_assert(kConfig.num_stages <= 32, "one bit for each");

  __device__ static __forceinline__ void init_barriers(Table& table) {
#pragma unroll 1
    for (ptx::Mbarrier& uncut : table.uncut) ptx::mbarrier_init(uncut, 1);
  }

  __device__ static __forceinline__ void prepare(const Params& params, Table& table) {
    const u32 num_groups = params.grid.num_groups;
    for (u32 i = threadIdx.x; i < num_groups; i += kNumThreads) {
      table.sizes[i] = rows(params, i).count;
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < num_groups; i += kNumThreads) place(params, table, i);
    __syncthreads();
  }

  __device__ static __forceinline__ Scheduler scheduler(const Params& params, const Table& table,
                                                        u32 cluster, u32 num_clusters) {
    return Scheduler(params.grid, table.order, table.num_worked, cluster, num_clusters);
  }

  __device__ static __forceinline__ u32 operand_group(u32) { return 0; }

  __device__ static __forceinline__ u32 first_k(Tile tile) { return tile.first_k_block; }

  __device__ static __forceinline__ u32 num_k_blocks(const Params&, Tile tile) {
    return (tile.num_k_blocks + kBf16BlockK - 1) / kBf16BlockK;
  }

  // Whether rows of block `k_block` are not the tile's.
  __device__ static __forceinline__ bool is_cut(Tile tile, u32 k_block) {
    return (k_block + 1) * kBf16BlockK > tile.num_k_blocks;
  }

  // Clears the rows behind each tile's last; one warp.
  template <typename Smem>
  __device__ static __forceinline__ void cut(const Params& params, Smem& smem, Scheduler tiles,
                                             u32 lane) {
    u32 num_loaded = 0;  // Stages, before the tile's last.
    u32 parities = 0;    // Bit i: of the next phase of uncut[i].
    for (; tiles.valid(); tiles.advance()) {
      const Tile tile = tiles.tile();
      const u32 last = num_k_blocks(params, tile) - 1;
      num_loaded += last;
      if (is_cut(tile, last)) {
        const u32 stage = num_loaded % kConfig.num_stages;
        wait(smem.uncut[stage], parities >> stage & 1);
        parities ^= 1u << stage;
        clear(smem.stages[stage], tile.num_k_blocks - last * kBf16BlockK, lane);
        ptx::fence_proxy_async();
        __syncwarp();
        if (lane == 0) ptx::mbarrier_arrive(smem.barriers[stage].full);
      }
      ++num_loaded;
    }
  }

 private:
  struct Rows {
    u32 first;
    u32 count;
  };

  // The rows of part i, cut to what there is. Parts begin at multiples of 64 from their group's
  // first row, so that only the last of them may end within a block.
  __device__ static __forceinline__ Rows rows(const Params& params, u32 i) {
    const u32 group = i / params.num_parts;
    const u32 part = i - group * params.num_parts;
    const u32 first = clamped(params.group_starts[group], params.num_k);
    const u32 count = clamped(params.group_sizes[group], params.num_k - first);
    const u32 blocks = (count + kBf16BlockK - 1) / kBf16BlockK;
    const u32 begin = blocks * part / params.num_parts * kBf16BlockK;
    const u32 end = min(blocks * (part + 1) / params.num_parts * kBf16BlockK, count);
    return {first + begin, end > begin ? end - begin : 0};
  }

  __device__ static __forceinline__ u32 clamped(int x, u32 limit) {
    return min(static_cast<u32>(x > 0 ? x : 0), limit);
  }

  // Enters part `i` behind all that are larger, and behind those before it that are as large.
  __device__ static __forceinline__ void place(const Params& params, Table& table, u32 i) {
    const u32 size = table.sizes[i];
    u32 rank = 0;
    u32 num_worked = 0;
#pragma unroll 4
    for (u32 j = 0; j < params.grid.num_groups; ++j) {
      const u32 other = table.sizes[j];
      rank += other > size || (other == size && j < i);
      // Where C is in D's memory already there is nothing to do for a group of no rows.
      num_worked += other > 0 || !kConfig.with_c;
    }
    // Otherwise it gets a block that lies behind all rows, where TMA reads zeros.
    table.order[rank] =
        size > 0 ? KGroup{i, rows(params, i).first, size} : KGroup{i, params.num_k, kBf16BlockK};
    if (i == 0) table.num_worked = num_worked;
  }

  // Writes zeros to the lines of a stage from `first` on: atoms of 64 rows of A, then of B.
  template <typename Stage>
  __device__ static __forceinline__ void clear(Stage& stage, u32 first, u32 lane) {
    constexpr u32 kNumAtoms = sizeof(Stage) / kBf16AtomBytes;
    u8* line = reinterpret_cast<u8*>(&stage) + first * kBf16LineBytes;
    const u32 num_bytes = kBf16AtomBytes - first * kBf16LineBytes;
#pragma unroll 1
    for (u32 atom = 0; atom < kNumAtoms; ++atom, line += kBf16AtomBytes) {
      for (u32 byte = lane * 16; byte < num_bytes; byte += 32 * 16) {
        *reinterpret_cast<uint4*>(line + byte) = uint4{0, 0, 0, 0};
      }
    }
  }
};

template <Sm90Bf16GemmConfig kConfig, int kMaxGroups>
using Sm90KGroupedBf16Gemm = Sm90Bf16Gemm<kConfig, KGroupedBf16Work<kConfig, kMaxGroups>>;

}  // namespace jdg
