// D[m, n] = C[m, n] + sum_k A[m, k] * B[n, k], operands bfloat16 and K-major or MN-major.
//
// Persistent, warp specialised. One warp streams A and B through TMA; math warpgroups add one stage
// after the other to float32 sums in registers, always with one stage in flight behind the one they
// wait for. A finished tile is rounded into registers of its own and stored while the tensor cores
// work on the next tile's first stages.
#pragma once

#include "kernels/sm90_bf16_gemm_load.cuh"
#include "kernels/sm90_bf16_gemm_store.cuh"

namespace jdg {

template <Sm90Bf16GemmConfig kConfig, typename Work = DenseBf16Work>
struct Sm90Bf16Gemm {
  using Traits = Sm90Bf16GemmTraits<kConfig, Work>;
  using Params = typename Work::Params;
  using Load = Sm90Bf16GemmLoad<kConfig, Work>;
  using Store = Sm90Bf16GemmStore<kConfig, Work>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kNumSlabs = kConfig.num_slabs;
  static constexpr bool kFills = Traits::kGroupsRows && !kConfig.scatters_rows;
  static constexpr bool kLooksUp = Traits::kGroupsRows || Work::kCutsK;  // Tiles, in a table.

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    if (threadIdx.x == 0) init_barriers(smem);
    if (threadIdx.x == Traits::kNumMathWarps * 32) Load::prefetch_maps(params);
    sync_cluster();
    ptx::wait_for_previous_kernel();
    if constexpr (Traits::kGroupsRows) {
      smem.table.template build<kNumThreads>(params.groups, Traits::kClusterRows,
                                             params.grid.num_n);
    } else {
      Work::prepare(params, smem);
    }
    if (warp < Traits::kNumMathWarps) {
      // Loads of groups take more than 24 registers.
      constexpr int kMost = kLooksUp ? 232 : 240;
      if constexpr (kConfig.num_math_warpgroups == 2) ptx::acquire_registers<kMost>();
      if constexpr (kConfig.num_math_warpgroups == 3) ptx::acquire_registers<160>();
      multiply_tiles(params, smem, warp, lane);
    } else {
      constexpr int kFew = kLooksUp ? 40 : 24;
      if constexpr (kConfig.num_math_warpgroups == 2) ptx::release_registers<kFew>();
      if constexpr (kConfig.num_math_warpgroups == 3) ptx::release_registers<32>();
      if (warp == Traits::kNumMathWarps && lane == 0) Load::tiles(params, smem);
      if (kFills && warp > Traits::kNumMathWarps) fill(params, smem, warp, lane);
      if constexpr (Work::kCutsK) {
        if (warp == Traits::kNumMathWarps + 1) {
          Work::cut(params, smem, Traits::scheduler(params, smem), lane);
        }
      }
      __syncwarp();
    }
    // A CTA must not end while its peer may still signal it or write to it.
    if constexpr (kConfig.cluster_size() > 1) sync_cluster();
  }

 private:
  using Sums = typename Traits::Sums;
  using Results = typename Traits::Results;
  using Tile = typename Traits::Tile;

  // Writes zeros to the rows of D that belong to no group; the three warps that load nothing.
  __device__ static __forceinline__ void fill(const Params& params, const Smem& smem, u32 warp,
                                              u32 lane) {
    if constexpr (kFills) {
      const u32 index = blockIdx.x * 3 + warp - Traits::kNumMathWarps - 1;
      const ZeroRows zeros(params.d_rows, index, gridDim.x * 3, lane);
      zeros.fill_unowned(params.groups, smem.table.ranges);
    }
  }

  __device__ static __forceinline__ void sync_cluster() {
    if constexpr (kConfig.cluster_size() > 1) {
      ptx::cluster_arrive();
      ptx::cluster_wait();
    } else {
      __syncthreads();
    }
  }

  __device__ static __forceinline__ void init_barriers(Smem& smem) {
#pragma unroll 1
    for (StageBarriers& barriers : smem.barriers) {
      ptx::mbarrier_init(barriers.full, 1);
      ptx::mbarrier_init(barriers.empty, kConfig.cluster_size() * Traits::kNumMathWarps);
    }
    if constexpr (Work::kCutsK) Work::init_barriers(smem);
    ptx::mbarrier_init_fence();
  }

  __device__ static __forceinline__ void multiply_tiles(const Params& params, Smem& smem, u32 warp,
                                                        u32 lane) {
    Ring ring(smem.stages, smem.barriers);
    Sums sum;
    Results results;
    typename Store::Tile finished = {};  // Tile whose results are not stored yet.
    bool has_finished = false;
    auto tiles = Traits::scheduler(params, smem);
    Tile next = tiles.tile();
    while (tiles.valid()) {
      const Tile tile = next;
      const Store store(params, smem, finished, warp, lane);
      if constexpr (Traits::kGroupsRows) {
        const auto stored = Store::stored_tile(params, tile, warp, lane);
        const auto advance = [&] {
          tiles.advance();
          next = tiles.tile();
        };
        const u32 row = Traits::first_row(tile, Traits::cta_rank()) + Traits::slab_row(warp, 0);
        const u32 live_slabs = Traits::num_live_slabs(tile, row);
        const Finished before = {store, has_finished};
        if (live_slabs >= kNumSlabs) {
          multiply_tile<kNumSlabs>(params, ring, warp, lane, sum, results, before, advance);
        } else if (kNumSlabs > 1 && live_slabs > 0) {
          multiply_tile<1>(params, ring, warp, lane, sum, results, before, advance);
        } else {
          skip_tile(params, ring, lane, results, before, advance);
        }
        has_finished = live_slabs > 0;
        finished = stored;
      } else {
        start_stage<kNumSlabs, true>(ring, warp, sum);
        if (has_finished) store.first_half(results);
        if (has_second_stage(Work::num_k_blocks(params, tile)))
          add_stage<kNumSlabs>(ring, warp, lane, sum);
        if (has_finished) store.second_half(results);
        if constexpr (Traits::kLoadsC) Store(params, smem, tile, warp, lane).load_c(results);
        tiles.advance();
        next = tiles.tile();
        finish_tile<kNumSlabs>(Work::num_k_blocks(params, tile), ring, warp, lane, sum, results);
        has_finished = true;
        finished = tile;
      }
    }
    if (has_finished) {
      const Store store(params, smem, finished, warp, lane);
      store.first_half(results);
      store.second_half(results);
    }
    // The shared memory must outlive the stores that read it.
    if (lane == 0) ptx::tma_store_wait_read();
  }

  // The results that a tile before has left, if it has.
  struct Finished {
    const Store& store;
    bool exists;

    __device__ __forceinline__ void store_first_half(const Results& results) const {
      if (exists) store.first_half(results);
    }

    __device__ __forceinline__ void store_second_half(const Results& results) const {
      if (exists) store.second_half(results);
    }
  };

  // Multiplies the first kSlabs slabs of a tile of a group; `advance()` goes to the next tile. Not
  // for dense products: with the tile in a function of its own ptxas places the divisions of the
  // next tile elsewhere, in a program that was not measured.
  template <int kSlabs, typename Advance>
  __device__ static __forceinline__ void multiply_tile(const Params& params, Ring& ring, u32 warp,
                                                       u32 lane, Sums& sum, Results& results,
                                                       Finished before, Advance advance) {
    start_stage<kSlabs, true>(ring, warp, sum);
    before.store_first_half(results);
    if (has_second_stage(params.num_k_blocks)) add_stage<kSlabs>(ring, warp, lane, sum);
    before.store_second_half(results);
    advance();
    finish_tile<kSlabs>(params.num_k_blocks, ring, warp, lane, sum, results);
  }

  // Lets a tile pass by of which the warpgroup has no row.
  template <typename Advance>
  __device__ static __forceinline__ void skip_tile(const Params& params, Ring& ring, u32 lane,
                                                   const Results& results, Finished before,
                                                   Advance advance) {
    before.store_first_half(results);
    before.store_second_half(results);
    advance();
#pragma unroll 1
    for (u32 k_block = 0; k_block < params.num_k_blocks; k_block += kConfig.stage_k_blocks) {
      await_stage(ring);
      release(ring.barriers(), lane);
      ring.advance();
    }
  }

  __device__ static __forceinline__ bool has_second_stage(u32 num_k_blocks) {
    return num_k_blocks > kConfig.stage_k_blocks;
  }

  __device__ static __forceinline__ void await_stage(const Ring& ring) {
    wait(ring.barriers().full, ring.parity());
  }

  // Gives kSlabs slabs of the ring's stage to the tensor cores; the first of a tile (kFirst) sets
  // the sums.
  template <int kSlabs, bool kFirst>
  __device__ static __forceinline__ void start_stage(const Ring& ring, u32 warp, Sums& sum) {
    const Stage& stage = ring.stage();
    await_stage(ring);
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) ptx::fence_registers(sum[slab]);
    ptx::wgmma_fence();
    start_blocks<kSlabs, kFirst, 0>(stage, warp, sum);
    ptx::wgmma_commit();
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) ptx::fence_registers(sum[slab]);
  }

  template <int kSlabs, bool kFirst, int kBlock>
  __device__ static __forceinline__ void start_blocks(const Stage& stage, u32 warp, Sums& sum) {
    if constexpr (kBlock < kConfig.stage_k_blocks) {
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        const u32 a_row = Traits::slab_row(warp, slab);
        start_bf16_mma<kConfig.block_n, kConfig.a_mn_major, kConfig.b_mn_major,
                       (kFirst && kBlock == 0)>(
            sum[slab], ptx::smem_address(stage.a[kBlock]) + a_row * kBf16LineBytes,
            ptx::smem_address(stage.b[kBlock]));
      }
      start_blocks<kSlabs, kFirst, kBlock + 1>(stage, warp, sum);
    }
  }

  // Starts the stage behind the ring's, waits for the ring's, and releases that.
  template <int kSlabs>
  __device__ static __forceinline__ void add_stage(Ring& ring, u32 warp, u32 lane, Sums& sum) {
    StageBarriers& before = ring.barriers();
    ring.advance();
    start_stage<kSlabs, false>(ring, warp, sum);
    ptx::wgmma_wait<1>();
    release(before, lane);
  }

  // Adds the stages from the third on, waits for the last, releases it, and rounds the sums.
  template <int kSlabs>
  __device__ static __forceinline__ void finish_tile(u32 num_k_blocks, Ring& ring, u32 warp,
                                                     u32 lane, Sums& sum, Results& results) {
#pragma unroll 1
    for (u32 k_block = 2 * kConfig.stage_k_blocks; k_block < num_k_blocks;
         k_block += kConfig.stage_k_blocks) {
      add_stage<kSlabs>(ring, warp, lane, sum);
    }
    ptx::wgmma_wait<0>();
    release(ring.barriers(), lane);
    ring.advance();
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
      ptx::fence_registers(sum[slab]);
      finish_result<Traits::kLoadsC>(results[slab], sum[slab]);
    }
  }

  // One arrival per warp and CTA of the cluster.
  __device__ static __forceinline__ void release(StageBarriers& barriers, u32 lane) {
    __syncwarp();
    if constexpr (kConfig.cluster_size() == 1) {
      if (lane == 0) ptx::mbarrier_arrive(barriers.empty);
    } else {
      if (lane < kConfig.cluster_size()) ptx::mbarrier_arrive_remote(barriers.empty, lane);
    }
  }
};

}  // namespace jdg
