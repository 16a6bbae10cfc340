// As sm90_fp8_fp4_gemm_swapped.cuh, for groups of rows of A that only the device knows the sizes
// of, each with a B of its own.
//
// Persistent: a CTA walks tiles of 64 or 128 rows of B and up to block_m rows of one group. Its
// ring goes on from tile to tile, so that B streams while sums are stored. Tiles of a group's other
// rows follow each other: they are computed at one time, and find their B in L2.
#pragma once

#include "common/grouped_warp_scheduler.cuh"
#include "common/swapped_store.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_load.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_math.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_tokens.cuh"

namespace jdg {

// What SwappedStore wants to know of D. A tile's rows are the first of one that begins with them.
struct GroupedRowsOfD {
  const void* c;
  void* d;
  u32 m;
  u32 pitch;
  LineSteps lines;
  const u64* addresses;  // As row_addresses.
};

template <typename Element>
__device__ __forceinline__ Element* row_of_d(const GroupedRowsOfD& rows, u32 group, u32 row) {
  const u64 line = rows.lines.line(group, row);
  if (rows.addresses != nullptr) return reinterpret_cast<Element*>(rows.addresses[line]);
  return static_cast<Element*>(rows.d) + line * rows.pitch;
}

template <typename KernelTraits>
struct GroupedSwappedStoreTraits : KernelTraits {
  using Params = GroupedRowsOfD;
  struct Work {
    u32 rank;
    u32 group;
    u32 column;
  };
};

template <Sm90Fp8Fp4GemmSwappedConfig kConfig>
struct Sm90MGroupedFp8Fp4GemmSwapped {
  using Traits = Sm90Fp8Fp4GemmSwappedTraits<kConfig>;
  using Params = typename Traits::Params;
  using Load = Sm90Fp8Fp4GemmSwappedLoad<kConfig>;
  using Tokens = Sm90Fp8Fp4GemmSwappedTokens<kConfig>;
  using Math = SwappedFp4Math<Traits>;
  using StoreTraits = GroupedSwappedStoreTraits<Traits>;
  using Store = SwappedStore<StoreTraits>;
  using Smem = typename Traits::Smem;
  using Scheduler = GroupedWarpScheduler<kConfig.max_groups>;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    if (lane == 0) prepare(params, smem, warp);
    __syncthreads();
    ptx::wait_for_previous_kernel();
    smem.table.template build<kNumThreads>(params.groups, kConfig.block_m, params.grid.num_n);
    if (warp < Traits::kNumMathWarps) {
      multiply_tiles(params, smem, warp, lane);
    } else if (warp == Traits::kNumMathWarps) {
      load_tiles(params, smem, lane);
      const ZeroRows zeros(params.d_rows, blockIdx.x, gridDim.x, lane);
      zeros.fill_unowned(params.groups, smem.table.ranges);
    } else {
      const u32 count = Scheduler::count(smem.table, params.grid);
      Tokens::run(count * Traits::num_stages(params.num_k_blocks), params.m, smem,
                  warp - Traits::kNumMathWarps - 1, lane);
    }
  }

 private:
  // One thread of each warp.
  __device__ static __forceinline__ void prepare(const Params& params, Smem& smem, u32 warp) {
    if (warp == Traits::kNumMathWarps) {
      ptx::prefetch_tensor_map(params.b);
      ptx::prefetch_tensor_map(params.a);
    }
#pragma unroll 1
    for (u32 i = warp; i < kConfig.num_stages; i += Traits::kNumThreads / 32) {
      ptx::mbarrier_init(smem.stages[i].full, 1 + 32);
      ptx::mbarrier_init(smem.stages[i].ready, Traits::kNumTokenWarps);
      ptx::mbarrier_init(smem.stages[i].empty, Traits::kNumMathWarps);
    }
    ptx::mbarrier_init_fence();
  }

  __device__ static __forceinline__ void load_tiles(const Params& params, Smem& smem, u32 lane) {
    typename Traits::Ring ring(smem.stages);
    const u64 policy = Load::policy();
    const u32 num_stages = Traits::num_stages(params.num_k_blocks);
    const u32 count = Scheduler::count(smem.table, params.grid);
    Scheduler tiles(smem.table, params.grid, kConfig.block_m, lane);
#pragma unroll 1
    for (u32 i = 0; i < count; ++i) {
      const GroupedTile tile = tiles.next();
      const SwappedPlace place = {tile.row, tile.end, 0, tile.n * Traits::kBlockN, tile.group};
      Load::tile(params, place, ring, 0, num_stages, policy, lane);
    }
    ptx::launch_next_kernel();
  }

  __device__ static __forceinline__ void multiply_tiles(const Params& params, Smem& smem, u32 warp,
                                                        u32 lane) {
    typename Traits::Ring ring(smem.stages);
    const u32 num_stages = Traits::num_stages(params.num_k_blocks);
    const u32 count = Scheduler::count(smem.table, params.grid);
    Scheduler tiles(smem.table, params.grid, kConfig.block_m, lane);
#pragma unroll 1
    for (u32 i = 0; i < count; ++i) {
      typename Traits::Sums sum;
      Math::multiply(ring, num_stages, warp, lane, sum);
      store(params, smem, tiles.next(), warp, lane, sum);
    }
  }

  __device__ static __forceinline__ void store(const Params& params, Smem& smem,
                                               const GroupedTile& tile, u32 warp, u32 lane,
                                               const typename Traits::Sums& sum) {
    const GroupedRowsOfD rows = {nullptr,      params.d, tile.end - tile.row,
                                 params.pitch, {1, 1},   params.row_addresses};
    const typename StoreTraits::Work work = {0, tile.row, tile.n * Traits::kBlockN};
    Store(rows, work, smem, warp, lane).store(sum);
  }
};

}  // namespace jdg
