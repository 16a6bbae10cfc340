// D[m, n] = C[m, n] + sum_k A[m, k] * sfa[m, k / 128] * B[n, k] * sfb[n / 128 or n, k / 128] for
// few rows m.
//
// The tensor cores compute the transposed product: 64 rows of B are an instruction's rows and all
// rows of A its columns, so that little is multiplied that is not there. A cluster shares out K for
// the rows of B of a tile. Time goes into reading B, so every CTA reads as much as every other.
#pragma once

#include "common/block_scales.cuh"
#include "common/promote.cuh"
#include "kernels/sm90_fp8_gemm_swapped_load.cuh"

namespace jdg {

template <Sm90Fp8GemmSwappedConfig kConfig>
struct Sm90Fp8GemmSwapped {
  using Traits = Sm90Fp8GemmSwappedTraits<kConfig>;
  using Load = Sm90Fp8GemmSwappedLoad<kConfig>;
  using Store = SwappedStore<Traits>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;
  static constexpr int kMmaKBlocks = kConfig.mma_k_blocks;
  static_assert(kConfig.stage_k_blocks % kMmaKBlocks == 0, "a stage is whole rounds of products");

  __device__ static __forceinline__ void run(const Sm90Fp8GemmSwappedParams& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    const Work work(params.num_n, params.num_k_blocks);
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
  __device__ static __forceinline__ void prepare(const Sm90Fp8GemmSwappedParams& params, Smem& smem,
                                                 const Work& work, u32 warp) {
    const bool loads = warp == Traits::kNumMathWarps;
    if (loads) {
      ptx::prefetch_tensor_map(params.b);
      ptx::prefetch_tensor_map(Traits::Rows::in_blocks(params.m) ? params.cut.a : params.a);
      ptx::prefetch_tensor_map(params.sfa);
      if constexpr (kConfig.sfb_per_row) ptx::prefetch_tensor_map(params.sfb);
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

  // The scales that the rows of B of a tile have in common.
  struct TileScales : BlockScales {
    __device__ __forceinline__ TileScales(const Sm90Fp8GemmSwappedParams& params, const Work& work,
                                          u32 lane)
        : BlockScales(params.sfb_blocks +
                          (static_cast<u64>(work.group) * params.sfb_rows + work.column / 128) *
                              params.num_k_blocks,
                      work.first_stage * kConfig.stage_k_blocks, params.num_k_blocks, lane) {}
  };

  struct NoScales {
    __device__ __forceinline__ NoScales(const Sm90Fp8GemmSwappedParams&, const Work&, u32) {}
    __device__ __forceinline__ float take() { return 0; }
  };

  template <bool kPerRow, typename = void>
  struct ScalesOf {
    using Type = TileScales;
  };
  template <typename Unused>
  struct ScalesOf<true, Unused> {
    using Type = NoScales;
  };
  using Scales = typename ScalesOf<kConfig.sfb_per_row>::Type;

  // The scales of A of a round of products, read while the tensor cores work where there are few.
  struct RoundScales {
    static constexpr bool kEarly = kConfig.block_m <= 32;
    static constexpr int kNumGroups = kEarly ? kConfig.block_m / 8 : 1;
    float2 columns[kMmaKBlocks][kNumGroups];

    __device__ __forceinline__ RoundScales(const Stage& stage, int first, u32 lane) {
      if constexpr (kEarly) {
#pragma unroll
        for (int i = 0; i < kMmaKBlocks; ++i) {
          const float* sfa = &stage.sfa[first + i][lane % 4 * 2];
#pragma unroll
          for (int group = 0; group < kNumGroups; ++group) {
            columns[i][group] = *reinterpret_cast<const float2*>(sfa + 8 * group);
          }
        }
      }
    }
  };

  // Sets `sum` to this CTA's share of the product, K block after K block.
  __device__ static __forceinline__ void multiply(const Sm90Fp8GemmSwappedParams& params,
                                                  const Work& work, Smem& smem, u32 warp, u32 lane,
                                                  Sums& sum) {
    Ring ring(smem.stages);
    Scales scales(params, work, lane);
    multiply_stage<true>(ring, scales, warp, lane, sum);
#pragma unroll 1
    for (u32 i = work.first_stage + 1; i < work.end_stage; ++i) {
      multiply_stage<false>(ring, scales, warp, lane, sum);
    }
  }

  template <bool kFirst>
  __device__ static __forceinline__ void multiply_stage(Ring& ring, Scales& block_scale, u32 warp,
                                                        u32 lane, Sums& sum) {
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
        const u32 rows = ptx::smem_address(stage.b[first + i]) + warp / 4 * 64 * kBlockK;
        start_block_mma<kConfig.block_m>(acc[i], rows, ptx::smem_address(stage.a[first + i]));
      }
      const RoundScales scales(stage, first, lane);
      finish<kFirst, 0>(stage, scales, first, block_scales, warp, lane, acc, sum);
    }
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(stage.empty);
    ring.advance();
  }

  // Waits for products kBlock, kBlock + 1, ... of a round in turn and adds each to the sums.
  template <bool kFirst, int kBlock>
  __device__ static __forceinline__ void finish(const Stage& stage, const RoundScales& scales,
                                                int first,
                                                const float (&block_scales)[kConfig.stage_k_blocks],
                                                u32 warp, u32 lane,
                                                float (&acc)[kMmaKBlocks][Traits::kAccumulators],
                                                Sums& sum) {
    if constexpr (kBlock < kMmaKBlocks) {
      const int k_block = first + kBlock;
      RowScales rows = {block_scales[k_block], block_scales[k_block]};
      if constexpr (kConfig.sfb_per_row) {
        const float* sfb = &stage.sfb[k_block][warp * 16 + lane / 4];
        rows = {sfb[0], sfb[8]};
      }
      wait_block_mma<kMmaKBlocks - 1 - kBlock>(acc[kBlock]);
      const bool sets = kFirst && k_block == 0;
      if constexpr (RoundScales::kEarly) {
#pragma unroll
        for (int group = 0; group < kConfig.block_m / 8; ++group) {
          promote_group(sum, acc[kBlock], group, rows, scales.columns[kBlock][group], sets);
        }
      } else {
        ColumnScales<Traits::kAccumulators> columns;
        columns.load(&stage.sfa[k_block][lane % 4 * 2]);
        promote_columns(sum, acc[kBlock], rows, columns, sets);
      }
      finish<kFirst, kBlock + 1>(stage, scales, first, block_scales, warp, lane, acc, sum);
    }
  }
};

}  // namespace jdg
