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

template <Sm90Bf16GemmConfig kConfig>
struct Sm90Bf16Gemm {
  using Traits = Sm90Bf16GemmTraits<kConfig>;
  using Load = Sm90Bf16GemmLoad<kConfig>;
  using Store = Sm90Bf16GemmStore<kConfig>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kNumSlabs = kConfig.num_slabs;

  __device__ static __forceinline__ void run(const Sm90Bf16GemmParams& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    if (threadIdx.x == 0) init_barriers(smem);
    if (threadIdx.x == Traits::kNumMathWarps * 32) Load::prefetch_maps(params);
    sync_cluster();
    ptx::wait_for_previous_kernel();
    if (warp < Traits::kNumMathWarps) {
      if constexpr (kConfig.num_math_warpgroups == 2) ptx::acquire_registers<240>();
      if constexpr (kConfig.num_math_warpgroups == 3) ptx::acquire_registers<160>();
      multiply_tiles(params, smem, warp, lane);
    } else {
      if constexpr (kConfig.num_math_warpgroups == 2) ptx::release_registers<24>();
      if constexpr (kConfig.num_math_warpgroups == 3) ptx::release_registers<32>();
      if (warp == Traits::kNumMathWarps && lane == 0) Load::tiles(params, smem);
      __syncwarp();
    }
    // A CTA must not end while its peer may still signal it or write to it.
    if constexpr (kConfig.cluster_size() > 1) sync_cluster();
  }

 private:
  using Sums = typename Traits::Sums;
  using Results = typename Traits::Results;

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
    ptx::mbarrier_init_fence();
  }

  __device__ static __forceinline__ void multiply_tiles(const Sm90Bf16GemmParams& params,
                                                        Smem& smem, u32 warp, u32 lane) {
    Ring ring(smem.stages, smem.barriers);
    Sums sum;
    Results results;
    TileIndex finished = {};  // Tile whose results are not stored yet.
    bool has_finished = false;
    TileScheduler tiles = Traits::scheduler(params);
    TileIndex next = tiles.tile();
    while (tiles.valid()) {
      const TileIndex tile = next;
      const Store store(params, smem, finished, warp, lane);
      start_stage<true>(ring, warp, sum);
      if (has_finished) store.first_half(results);
      if (params.num_k_blocks > kConfig.stage_k_blocks) add_stage(ring, warp, lane, sum);
      if (has_finished) store.second_half(results);
      if constexpr (kConfig.with_c) Store(params, smem, tile, warp, lane).load_c(results);
      tiles.advance();
      next = tiles.tile();
#pragma unroll 1
      for (u32 k_block = 2 * kConfig.stage_k_blocks; k_block < params.num_k_blocks;
           k_block += kConfig.stage_k_blocks) {
        add_stage(ring, warp, lane, sum);
      }
      finish_tile(ring, lane, sum, results);
      finished = tile;
      has_finished = true;
    }
    if (has_finished) {
      const Store store(params, smem, finished, warp, lane);
      store.first_half(results);
      store.second_half(results);
    }
    // The shared memory must outlive the stores that read it.
    if (lane == 0) ptx::tma_store_wait_read();
  }

  // Gives the ring's stage to the tensor cores; the first of a tile (kFirst) sets the sums.
  template <bool kFirst>
  __device__ static __forceinline__ void start_stage(const Ring& ring, u32 warp, Sums& sum) {
    const Stage& stage = ring.stage();
    wait(ring.barriers().full, ring.parity());
#pragma unroll
    for (int slab = 0; slab < kNumSlabs; ++slab) ptx::fence_registers(sum[slab]);
    ptx::wgmma_fence();
    start_blocks<kFirst, 0>(stage, warp, sum);
    ptx::wgmma_commit();
#pragma unroll
    for (int slab = 0; slab < kNumSlabs; ++slab) ptx::fence_registers(sum[slab]);
  }

  template <bool kFirst, int kBlock>
  __device__ static __forceinline__ void start_blocks(const Stage& stage, u32 warp, Sums& sum) {
    if constexpr (kBlock < kConfig.stage_k_blocks) {
#pragma unroll
      for (int slab = 0; slab < kNumSlabs; ++slab) {
        const u32 a_row = Traits::slab_row(warp, slab);
        start_bf16_mma<kConfig.block_n, kConfig.a_mn_major, kConfig.b_mn_major,
                       (kFirst && kBlock == 0)>(
            sum[slab], ptx::smem_address(stage.a[kBlock]) + a_row * kBf16LineBytes,
            ptx::smem_address(stage.b[kBlock]));
      }
      start_blocks<kFirst, kBlock + 1>(stage, warp, sum);
    }
  }

  // Starts the stage behind the ring's, waits for the ring's, and releases that.
  __device__ static __forceinline__ void add_stage(Ring& ring, u32 warp, u32 lane, Sums& sum) {
    StageBarriers& before = ring.barriers();
    ring.advance();
    start_stage<false>(ring, warp, sum);
    ptx::wgmma_wait<1>();
    release(before, lane);
  }

  // Waits for the tile's last stage, releases it, and rounds the sums.
  __device__ static __forceinline__ void finish_tile(Ring& ring, u32 lane, Sums& sum,
                                                     Results& results) {
    ptx::wgmma_wait<0>();
    release(ring.barriers(), lane);
    ring.advance();
#pragma unroll
    for (int slab = 0; slab < kNumSlabs; ++slab) {
      ptx::fence_registers(sum[slab]);
      finish_result<kConfig.with_c>(results[slab], sum[slab]);
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
