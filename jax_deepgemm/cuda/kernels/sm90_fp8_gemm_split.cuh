// D[m, n] = C[m, n] + sum_k A[m, k] * sfa[m, k / 128] * B[n, k] * sfb[n / 128, k / 128] for few
// tiles.
//
// Where D has fewer tiles than the GPU has multiprocessors, a cluster shares out the K of a tile,
// so that all multiprocessors read; with smaller tiles instead each operand would be read more
// often. As in the GEMM for many rows a tile's rows are those of A, of whose scales a thread needs
// two in a K block. With swapped operands it needs one for each of its columns, and reading 128
// columns' from shared memory takes longer than multiplying them.
#pragma once

#include "common/block_scales.cuh"
#include "common/promote.cuh"
#include "kernels/sm90_fp8_gemm_split_load.cuh"
#include "kernels/sm90_fp8_gemm_split_store.cuh"

namespace jdg {

template <Sm90Fp8GemmSplitConfig kConfig>
struct Sm90Fp8GemmSplit {
  using Traits = Sm90Fp8GemmSplitTraits<kConfig>;
  using Params = Sm90Fp8GemmSplitParams;
  using Load = Sm90Fp8GemmSplitLoad<kConfig>;
  using Store = Sm90Fp8GemmSplitStore<kConfig>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;
  static constexpr int kMmaKBlocks = kConfig.mma_k_blocks;
  static_assert(kConfig.stage_k_blocks % kMmaKBlocks == 0, "a stage is whole rounds of products");

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    const Work work(params.num_m, params.num_n, params.num_k_blocks);
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
  // One thread of each warp. They share out the barriers, as what is done here delays the first
  // byte.
  __device__ static __forceinline__ void prepare(const Params& params, Smem& smem, const Work& work,
                                                 u32 warp) {
    const bool loads = warp == Traits::kNumMathWarps;
    if (loads) {
      ptx::prefetch_tensor_map(params.b);
      ptx::prefetch_tensor_map(params.a);
      ptx::prefetch_tensor_map(params.a_rest);
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
    const u64 line = static_cast<u64>(work.group) * params.sfb_rows + work.column / 128;
    BlockScales scales(params.sfb + line * params.num_k_blocks,
                       work.first_stage * kConfig.stage_k_blocks, params.num_k_blocks, lane);
    multiply_stage<true>(ring, scales, warp, lane, sum);
#pragma unroll 1
    for (u32 i = work.first_stage + 1; i < work.end_stage; ++i) {
      multiply_stage<false>(ring, scales, warp, lane, sum);
    }
  }

  template <bool kFirst>
  __device__ static __forceinline__ void multiply_stage(Ring& ring, BlockScales& block_scale,
                                                        u32 warp, u32 lane, Sums& sum) {
    Stage& stage = ring.stage();
    float block_scales[kConfig.stage_k_blocks];
#pragma unroll
    for (float& scale : block_scales) scale = block_scale.take();
    wait(stage.full, ring.parity());
#pragma unroll
    for (int first = 0; first < kConfig.stage_k_blocks; first += kMmaKBlocks) {
      float acc[kMmaKBlocks][Traits::kAccumulators];
#pragma unroll
      for (int i = 0; i < kMmaKBlocks; ++i) {
        const u32 rows = ptx::smem_address(stage.a[first + i]) + warp / 4 * 64 * kBlockK;
        start_block_mma<kConfig.block_n>(acc[i], rows, ptx::smem_address(stage.b[first + i]));
      }
      finish<kFirst, 0>(stage, first, block_scales, warp, lane, acc, sum);
    }
    ring.advance();
  }

  // Waits for products kBlock, kBlock + 1, ... of a round in turn and adds each to the sums.
  template <bool kFirst, int kBlock>
  __device__ static __forceinline__ void finish(Stage& stage, int first,
                                                const float (&block_scales)[kConfig.stage_k_blocks],
                                                u32 warp, u32 lane,
                                                float (&acc)[kMmaKBlocks][Traits::kAccumulators],
                                                Sums& sum) {
    if constexpr (kBlock < kMmaKBlocks) {
      const int k_block = first + kBlock;
      const float* sfa = &stage.sfa[k_block][warp * 16 + lane / 4];
      const RowScales rows = {sfa[0] * block_scales[k_block], sfa[8] * block_scales[k_block]};
      wait_block_mma<kMmaKBlocks - 1 - kBlock>(acc[kBlock]);
      // Before the last promotion, so that the next load starts as early as possible.
      if (k_block + 1 == kConfig.stage_k_blocks) {
        __syncwarp();
        if (lane == 0) ptx::mbarrier_arrive(stage.empty);
      }
      promote_split<Traits::kColumnGroups>(sum, acc[kBlock], rows, rows, kFirst && k_block == 0);
      finish<kFirst, kBlock + 1>(stage, first, block_scales, warp, lane, acc, sum);
    }
  }
};

}  // namespace jdg
