// D[m, n] = C[m, n] + sum_k A[m, k] * sfa[m, k / 128] * B[n, k] * 2^(exponents[n, k / 32] - 127)
// for few rows m and B in FP4.
//
// As in sm90_fp8_gemm_swapped.cuh, rows of B are the instruction's rows, and a cluster shares out
// K. Math warps decode them on their way from shared memory to registers, where the tensor cores
// read them.
#pragma once

#include "common/swapped_store.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_load.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_rows.cuh"

namespace jdg {

template <Sm90Fp8Fp4GemmSwappedConfig kConfig>
struct Sm90Fp8Fp4GemmSwapped {
  using Traits = Sm90Fp8Fp4GemmSwappedTraits<kConfig>;
  using Params = typename Traits::Params;
  using Load = Sm90Fp8Fp4GemmSwappedLoad<kConfig>;
  using Store = SwappedStore<Traits>;
  using Rows = SwappedFp4Rows<Traits>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;
  static constexpr int kMmaKBlocks = kConfig.mma_k_blocks;

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    const Work work(params.num_n, params.num_k_blocks);
    smem.magnitudes.set(threadIdx.x);
    if (lane == 0) prepare(params, smem, work, warp);
    __syncthreads();
    // The other CTAs of the cluster are awaited before the first word is sent to them; their
    // barriers are fenced by themselves.
    if constexpr (kConfig.num_splits > 1) ptx::cluster_arrive_relaxed();
    ptx::launch_next_kernel();
    ptx::wait_for_previous_kernel();
    if (warp < Traits::kNumMathWarps) {
      Sums sum;
      multiply(params, work, smem, warp, lane, sum);
      if constexpr (kConfig.num_splits > 1) ptx::cluster_wait();
      Store(params, work, smem, warp, lane).store(sum);
    } else {
      if (lane == 0) Load::stages(params, work, smem);
      __syncwarp();
      if constexpr (kConfig.num_splits > 1) ptx::cluster_wait();
    }
  }

 private:
  using Columns = ColumnScales<Traits::kAccumulators>;

  // One thread of each warp. They share out the barriers, as what is done here delays the first
  // byte.
  __device__ static __forceinline__ void prepare(const Params& params, Smem& smem, const Work& work,
                                                 u32 warp) {
    const bool loads = warp == Traits::kNumMathWarps;
    if (loads) {
      ptx::prefetch_tensor_map(params.b);
      ptx::prefetch_tensor_map(params.a);
      ptx::prefetch_tensor_map(params.sfa);
    }
#pragma unroll 1
    for (u32 i = warp; i < kConfig.num_stages; i += Traits::kNumMathWarps + 1) {
      ptx::mbarrier_init(smem.stages[i].full, 1);
      ptx::mbarrier_init(smem.stages[i].empty, Traits::kNumMathWarps);
    }
    if constexpr (kConfig.num_splits > 1) {
      if (loads) Store::expect(smem, work.rank);
    }
    ptx::mbarrier_init_fence();
    if constexpr (kConfig.prefetch_weights) {
      if (loads) Load::prefetch(params, work);
    }
  }

  // Sets `sum` to this CTA's share of the product, K block after K block.
  __device__ static __forceinline__ void multiply(const Params& params, const Work& work,
                                                  Smem& smem, u32 warp, u32 lane, Sums& sum) {
    Ring ring(smem.stages);
    Rows rows(params, work, smem, warp, lane);
    multiply_stage<true>(ring, rows, lane, sum);
#pragma unroll 1
    for (u32 i = work.first_stage + 1; i < work.end_stage; ++i) {
      multiply_stage<false>(ring, rows, lane, sum);
    }
  }

  template <bool kFirst>
  __device__ static __forceinline__ void multiply_stage(Ring& ring, Rows& rows, u32 lane,
                                                        Sums& sum) {
    Stage& stage = ring.stage();
    rows.advance();
    wait(stage.full, ring.parity());
#pragma unroll
    for (int first = 0; first < kConfig.stage_k_blocks; first += kMmaKBlocks) {
      float acc[kMmaKBlocks][Traits::kAccumulators];
      typename Rows::Block blocks[kMmaKBlocks];
#pragma unroll
      for (int i = 0; i < kMmaKBlocks; ++i) {
        rows.decode(stage, first + i, blocks[i]);
        start_block_mma<kConfig.block_m>(acc[i], blocks[i].rows,
                                         ptx::smem_address(stage.a[first + i]));
      }
      finish<kFirst, 0>(stage, first, lane, blocks, acc, sum);
    }
    rows.add_wide(stage, sum);
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(stage.empty);
    ring.advance();
  }

  // Waits for products kBlock, kBlock + 1, ... of a round in turn and adds each to the sums.
  template <bool kFirst, int kBlock>
  __device__ static __forceinline__ void finish(const Stage& stage, int first, u32 lane,
                                                typename Rows::Block (&blocks)[kMmaKBlocks],
                                                float (&acc)[kMmaKBlocks][Traits::kAccumulators],
                                                Sums& sum) {
    if constexpr (kBlock < kMmaKBlocks) {
      // Where there are few, they are read while the tensor cores work.
      constexpr bool kEarly = kConfig.block_m <= 32;
      const float* sfa = &stage.sfa[first + kBlock][lane % 4 * 2];
      Columns columns;
      if constexpr (kEarly) columns.load(sfa);
      wait_block_mma<kMmaKBlocks - 1 - kBlock>(acc[kBlock], blocks[kBlock].rows);
      if constexpr (!kEarly) columns.load(sfa);
      promote_columns(sum, acc[kBlock], blocks[kBlock].scales, columns,
                      kFirst && first + kBlock == 0);
      finish<kFirst, kBlock + 1>(stage, first, lane, blocks, acc, sum);
    }
  }
};

}  // namespace jdg
