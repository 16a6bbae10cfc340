// D[m, n] = C[m, n] + sum_k A[m, k] * sfa[m, k / 128] * B[n, k] * sfb[n / 128 or n, k / 128].
//
// Persistent, warp specialised. One warp streams A, B and sfa through TMA, one the few floats of
// sfb; math warpgroups multiply one K block of 128 at a time and add it, scaled, to float32 sums.
// A finished tile goes to shared memory and on its way to global memory while the next one begins.
#pragma once

#include "common/promote.cuh"
#include "kernels/sm90_fp8_fp4_gemm_decode.cuh"
#include "kernels/sm90_fp8_gemm_load.cuh"
#include "kernels/sm90_fp8_gemm_store.cuh"

namespace jdg {

template <Sm90Fp8GemmConfig kConfig, typename Work = DenseWork>
struct Sm90Fp8Gemm {
  using Traits = Sm90Fp8GemmTraits<kConfig, Work>;
  using Params = typename Work::Params;
  using Load = Sm90Fp8GemmLoad<kConfig, Work>;
  using Store = Sm90Fp8GemmStore<kConfig, Work>;
  using Decode = Sm90Fp8Fp4GemmDecode<kConfig, Work>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kNumSlabs = kConfig.num_slabs;
  static constexpr int kAccumulators = Traits::kAccumulators;
  // Column groups of 8 that share a scale of B: a tile is cut at a multiple of this many.
  static constexpr int kSplitStep = gcd(kConfig.block_n, 128) / 8;
  static constexpr int kLastSplit = min_of(kConfig.block_n, 128) / 8;

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
      constexpr int kMost = Traits::kGroupsRows ? 232 : 240;
      if constexpr (Traits::kDecodes) {
        ptx::acquire_registers<Decode::kMathRegisters>();
      } else if constexpr (kConfig.num_math_warpgroups == 2) {
        ptx::acquire_registers<kMost>();
      }
      if constexpr (kConfig.num_math_warpgroups == 3) ptx::acquire_registers<160>();
      multiply_tiles(params, smem, warp);
    } else if (Traits::kDecodes && warp >= Traits::kNumMathWarps + 4) {
      if constexpr (Traits::kDecodes) Decode::run(params, smem);
    } else {
      constexpr int kFew = Traits::kGroupsRows ? 40 : 24;
      if constexpr (Traits::kDecodes || kConfig.num_math_warpgroups == 2) {
        ptx::release_registers<kFew>();
      }
      if constexpr (kConfig.num_math_warpgroups == 3) ptx::release_registers<32>();
      if (warp == Traits::kNumMathWarps && lane == 0) Load::tiles(params, smem);
      if (!Traits::kDecodes && warp == Traits::kNumMathWarps + 1) Load::scales(params, smem, lane);
      if (Traits::kGroupsRows && warp >= Traits::kNumMathWarps + 2) fill(params, smem, warp, lane);
      __syncwarp();
    }
    // A CTA must not end while its peer may still signal it or write to it.
    if constexpr (kConfig.cluster_size() > 1) sync_cluster();
  }

 private:
  using Sums = typename Traits::Sums;
  using Tile = typename Traits::Tile;

  // What one math thread keeps across tiles.
  struct Worker {
    u32 warp;
    u32 lane;
    Tile finished;  // Tile whose sums are not stored yet.
    bool has_finished;
    u32 scale_shift;                  // Of the tile that is multiplied.
    typename Store::Targets targets;  // Of the finished tile.
  };

  // What bounds the loops has to be seen to be the same in all lanes, or the stages' addresses
  // leave the uniform registers, and each wgmma takes 12 instructions more: 7-13 % of the time.
  __device__ static __forceinline__ u32 uniform(u32 value) {
    return Work::kReadsTable ? __shfl_sync(0xFFFFFFFF, value, 0) : value;
  }

  // Writes zeros to the rows of D that belong to no group; the two warps that load nothing.
  __device__ static __forceinline__ void fill(const Params& params, const Smem& smem, u32 warp,
                                              u32 lane) {
    if constexpr (Traits::kGroupsRows) {
      const u32 index = blockIdx.x * 2 + warp - Traits::kNumMathWarps - 2;
      const ZeroRows zeros(params.d_rows, index, gridDim.x * 2, lane);
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
    for (Stage& stage : smem.stages) {
      ptx::mbarrier_init(stage.full, 1 + Traits::kScaleLanes);
      ptx::mbarrier_init(stage.empty, kConfig.cluster_size() * Traits::kNumMathWarps);
      if constexpr (Traits::kDecodes) ptx::mbarrier_init(stage.sfb.decoded, Decode::kNumWarps);
    }
    ptx::mbarrier_init_fence();
  }

  __device__ static __forceinline__ void multiply_tiles(const Params& params, Smem& smem,
                                                        u32 warp) {
    Worker worker = {warp, threadIdx.x % 32, {}, false, 0, {}};
    Ring ring(smem.stages);
    Sums sum;
    bool ready = false;
    auto tiles = Traits::scheduler(params, smem);
    Tile next = tiles.tile();
    while (uniform(tiles.valid())) {
      const Tile tile = next;
      const int split = Traits::kSplitsScale
                            ? (128 - Traits::columns(tile, Traits::cta_rank()).main % 128) / 8
                            : kLastSplit;
      const Store store(params, smem, worker.finished, worker.targets, warp, worker.lane);
      const auto targets = Store::targets_of(params, tile, warp, worker.lane);
      const auto before = [&](int slab) {
        if (worker.has_finished && slab == 0) store.begin(sum);
      };
      const auto during = [&](int slab) {
        if (worker.has_finished) store.go_on(slab, sum);
        if (slab + 1 == kNumSlabs) {
          tiles.advance();
          next = tiles.tile();
        }
      };
      const u32 row = Traits::first_row(tile, Traits::cta_rank());
      worker.scale_shift = Traits::scale_shift(row);
      const u32 live_slabs = Traits::num_live_slabs(tile, row + Traits::slab_row(warp, 0));
      const u32 num_k_blocks = uniform(Work::num_k_blocks(params, tile));
      if (live_slabs >= kNumSlabs) {
        multiply_tile<kNumSlabs>(num_k_blocks, worker, ring, ready, split, sum, before, during);
      } else if (live_slabs > 0) {
        multiply_tile<1>(num_k_blocks, worker, ring, ready, split, sum, before, during);
      } else {
        skip_tile(params, worker, ring, ready, before, during);
      }
      worker.finished = tile;
      worker.targets = targets;
      worker.has_finished = live_slabs > 0;
    }
    if (worker.has_finished) {
      const Store store(params, smem, worker.finished, worker.targets, warp, worker.lane);
      store.begin(sum);
#pragma unroll
      for (int slab = 0; slab < kNumSlabs; ++slab) store.go_on(slab, sum);
    }
    // The shared memory must outlive the stores that read it.
    if (worker.lane == 0) ptx::tma_store_wait_read();
  }

  // Multiplies the first kSlabs slabs of a tile. `before(slab)` runs before the first stage of the
  // slab is given to the tensor cores, `during(slab)` while it is there.
  template <int kSlabs, typename Before, typename During>
  __device__ static __forceinline__ void multiply_tile(u32 num_k_blocks, Worker& worker, Ring& ring,
                                                       bool& ready, int split, Sums& sum,
                                                       Before before, During during) {
    multiply_stage<kSlabs, true, 0>(worker, ring, ready, split, sum, before, during);
    multiply_rest<kSlabs, kSplitStep>(num_k_blocks, worker, ring, ready, split, sum);
  }

  // Lets a tile pass by of which the warpgroup has no row.
  template <typename Before, typename During>
  __device__ static __forceinline__ void skip_tile(const Params& params, Worker& worker, Ring& ring,
                                                   bool& ready, Before before, During during) {
#pragma unroll
    for (int slab = 0; slab < kNumSlabs; ++slab) {
      before(slab);
      during(slab);
    }
#pragma unroll 1
    for (u32 k_block = 0; k_block < params.num_k_blocks; k_block += kConfig.stage_k_blocks) {
      Stage& stage = ring.stage();
      if (!ready) wait(Traits::operands(stage), ring.parity());
      finish_stage(worker, ring, stage, ready);
    }
  }

  // The K blocks of a tile after its first stage. Where the place at which a second row of sfb
  // begins differs between tiles, there is a loop for each: deciding inside the loop was measured
  // to cost 200 cycles a K block, where the tensor cores take 576 for a 192 x 96 tile.
  template <int kSlabs, int kSplit>
  __device__ static __forceinline__ void multiply_rest(u32 num_k_blocks, Worker& worker, Ring& ring,
                                                       bool& ready, int split, Sums& sum) {
    if constexpr (Traits::kSplitsScale && kSplit < kLastSplit) {
      if (split > kSplit) {
        multiply_rest<kSlabs, kSplit + kSplitStep>(num_k_blocks, worker, ring, ready, split, sum);
        return;
      }
    }
#pragma unroll 1
    for (u32 k_block = kConfig.stage_k_blocks; k_block < num_k_blocks;
         k_block += kConfig.stage_k_blocks) {
      multiply_stage<kSlabs, false, kSplit>(
          worker, ring, ready, split, sum, [](int) {}, [](int) {});
    }
  }

  // Adds one stage to the sums of kSlabs slabs; the first of a tile (kFirst) sets them.
  // `before(slab)` runs before the slab is given to the tensor cores, `during(slab)` while it is
  // there; both may read sum[slab]. `ready` says on entry that the stage is known to be full, and
  // on return the same of the next.
  template <int kSlabs, bool kFirst, int kSplit, typename Before, typename During>
  __device__ static __forceinline__ void multiply_stage(const Worker& worker, Ring& ring,
                                                        bool& ready, int split, Sums& sum,
                                                        Before before, During during) {
    Stage& stage = ring.stage();
    ColumnScales<kAccumulators> columns;
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
      const u32 first_row = Traits::slab_row(worker.warp, slab);
      float acc[kConfig.stage_k_blocks][kAccumulators];
      before(slab);
      if (slab == 0 && !ready) wait(Traits::operands(stage), ring.parity());
#pragma unroll
      for (int k_block = 0; k_block < kConfig.stage_k_blocks; ++k_block) {
        start_block_mma<kConfig.block_n>(acc[k_block],
                                         ptx::smem_address(stage.a[k_block]) + first_row * kBlockK,
                                         ptx::smem_address(stage.b[k_block]));
      }
      during(slab);
      if constexpr (kSlabs < kNumSlabs) during(kSlabs);
      finish_blocks<kSlabs, kFirst, kSplit, 0>(worker, ring, stage, ready, split, slab, columns,
                                               acc, sum[slab]);
    }
  }

  // Waits for K blocks kBlock, kBlock + 1, ... of a stage in turn and adds each to the sums.
  template <int kSlabs, bool kFirst, int kSplit, int kBlock>
  __device__ static __forceinline__ void finish_blocks(
      const Worker& worker, Ring& ring, Stage& stage, bool& ready, int split, int slab,
      ColumnScales<kAccumulators>& columns, float (&acc)[kConfig.stage_k_blocks][kAccumulators],
      float (&sum)[kAccumulators]) {
    if constexpr (kBlock < kConfig.stage_k_blocks) {
      constexpr int kPending = kConfig.stage_k_blocks - 1 - kBlock;
      const bool last = kPending == 0 && slab + 1 == kSlabs;
      const u32 row = Traits::slab_row(worker.warp, slab) + worker.warp % 4 * 16 + worker.lane / 4;
      const float* sfa = &stage.sfa[kBlock][row + worker.scale_shift];
      const float* sfb = stage.sfb[kBlock];
      const RowScales rows = {sfa[0], sfa[8]};
      if constexpr (kConfig.sfb_per_row) {
        // Both slabs have the same columns: shared memory fills 32 registers a cycle, and beside
        // wgmma a quarter of that.
        if (slab == 0 || kConfig.stage_k_blocks > 1) columns.load(sfb + worker.lane % 4 * 2);
        wait_block_mma<kPending>(acc[kBlock]);
        if (last) finish_stage(worker, ring, stage, ready);
        promote_columns(sum, acc[kBlock], rows, columns, kFirst && kBlock == 0);
      } else {
        const RowScales left = {rows.upper * sfb[0], rows.lower * sfb[0]};
        const RowScales right = {rows.upper * sfb[1], rows.lower * sfb[1]};
        if constexpr (Traits::kDecodes) {
          if (Decode::is_wide(stage)) {
            Decode::add_groups(stage, Traits::slab_row(worker.warp, slab), worker.lane, rows,
                               acc[kBlock], sum, kFirst);
            if (last) finish_stage(worker, ring, stage, ready);
            return;
          }
        }
        wait_block_mma<kPending>(acc[kBlock]);
        // Before the promotion, so that the next load starts as early as possible.
        if (last) finish_stage(worker, ring, stage, ready);
        promote_blocks<kSplit>(sum, acc[kBlock], left, right, split, kFirst && kBlock == 0);
      }
      finish_blocks<kSlabs, kFirst, kSplit, kBlock + 1>(worker, ring, stage, ready, split, slab,
                                                        columns, acc, sum);
    }
  }

  // kSplit is the cut between the two scales, or 0 if only known at run time.
  template <int kSplit>
  __device__ static __forceinline__ void promote_blocks(float (&sum)[kAccumulators],
                                                        const float (&acc)[kAccumulators],
                                                        RowScales left, RowScales right, int split,
                                                        bool first) {
    if constexpr (!Traits::kSplitsScale) {
      promote_split<Traits::Columns::kMain / 8>(sum, acc, left, right, first);
    } else if constexpr (kSplit > 0) {
      promote_split<kSplit>(sum, acc, left, right, first);
    } else {
      promote<kSplitStep, kLastSplit, kSplitStep>(sum, acc, left, right, split, first);
    }
  }

  // Releases the stage, one arrival per warp and CTA of the cluster, and looks at the next.
  __device__ static __forceinline__ void finish_stage(const Worker& worker, Ring& ring,
                                                      Stage& stage, bool& ready) {
    __syncwarp();
    if constexpr (kConfig.cluster_size() == 1) {
      if (worker.lane == 0) ptx::mbarrier_arrive(stage.empty);
    } else {
      if (worker.lane < kConfig.cluster_size())
        ptx::mbarrier_arrive_remote(stage.empty, worker.lane);
    }
    ring.advance();
    ready = ptx::mbarrier_test_wait(Traits::operands(ring.stage()), ring.parity());
  }
};

}  // namespace jdg
