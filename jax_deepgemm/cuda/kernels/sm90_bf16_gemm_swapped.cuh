// D[m, n] = C[m, n] + sum_k A[m, k] * B[n, k] for few rows m, operands bfloat16 and K-major or
// MN-major.
//
// The tensor cores compute the transposed product: 64 rows of B are an instruction's rows and all
// rows of A its columns, so that little is multiplied that is not there. A cluster shares out K for
// the rows of B of a tile. Time goes into reading B, so every CTA reads as much as every other.
// Sums stay in the registers of the tensor cores; unsplit they have the bits of sm90_bf16_gemm.
#pragma once

#include "common/swapped_store.cuh"
#include "kernels/sm90_bf16_gemm_swapped_load.cuh"
#include "ptx/warp.cuh"

namespace jdg {

template <Sm90Bf16GemmSwappedConfig kConfig>
struct Sm90Bf16GemmSwapped {
  using Traits = Sm90Bf16GemmSwappedTraits<kConfig>;
  using Load = Sm90Bf16GemmSwappedLoad<kConfig>;
  using Store = SwappedStore<Traits>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;

  __device__ static __forceinline__ void run(const Sm90Bf16GemmSwappedParams& params) {
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
      multiply(work, smem, warp, lane, sum);
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
  __device__ static __forceinline__ void prepare(const Sm90Bf16GemmSwappedParams& params,
                                                 Smem& smem, const Work& work, u32 warp) {
    const bool loads = warp == Traits::kNumMathWarps;
    if (loads) {
      ptx::prefetch_tensor_map(params.b);
      ptx::prefetch_tensor_map(Traits::Rows::in_blocks(params.m) ? params.cut.a : params.a);
    }
#pragma unroll 1
    for (u32 i = warp; i < kConfig.num_stages; i += Traits::kNumMathWarps + 1) {
      ptx::mbarrier_init(smem.barriers[i].full, 1);
      ptx::mbarrier_init(smem.barriers[i].empty, Traits::kNumMathWarps);
    }
    if constexpr (kConfig.num_splits > 1) {
      if (loads) Store::expect(smem, work.rank);
    }
    ptx::mbarrier_init_fence();
    if constexpr (kConfig.prefetch_weights) {
      if (loads) Load::prefetch(params, work);
    }
  }

  // Sets `sum` to this CTA's share of the product. A stage is released while the next one, which is
  // in flight already, keeps the tensor cores busy.
  __device__ static __forceinline__ void multiply(const Work& work, Smem& smem, u32 warp, u32 lane,
                                                  Sums& sum) {
    Ring ring(smem.stages, smem.barriers);
    start_stage<true>(ring, warp, sum);
#pragma unroll 1
    for (u32 i = work.first_stage + 1; i < work.end_stage; ++i) {
      StageBarriers& before = ring.barriers();
      ring.advance();
      start_stage<false>(ring, warp, sum);
      ptx::wgmma_wait<1>();
      __syncwarp();
      if (lane == 0) ptx::mbarrier_arrive(before.empty);
    }
    ptx::wgmma_wait<0>();
    ptx::fence_registers(sum);
  }

  // Gives the ring's stage to the tensor cores; the first one (kFirst) sets the sums.
  template <bool kFirst>
  __device__ static __forceinline__ void start_stage(const Ring& ring, u32 warp, Sums& sum) {
    const Stage& stage = ring.stage();
    wait(ring.barriers().full, ring.parity());
    ptx::fence_registers(sum);
    ptx::wgmma_fence();
    start_blocks<kFirst, 0>(stage, warp, sum);
    ptx::wgmma_commit();
    ptx::fence_registers(sum);
  }

  template <bool kFirst, int kBlock>
  __device__ static __forceinline__ void start_blocks(const Stage& stage, u32 warp, Sums& sum) {
    if constexpr (kBlock < kConfig.stage_k_blocks) {
      const u32 rows = ptx::smem_address(stage.b) + Traits::b_offset(warp / 4, kBlock);
      start_bf16_mma<kConfig.block_m, kConfig.b_mn_major, kConfig.a_mn_major,
                     (kFirst && kBlock == 0)>(sum, rows, ptx::smem_address(stage.a[kBlock]));
      start_blocks<kFirst, kBlock + 1>(stage, warp, sum);
    }
  }
};

}  // namespace jdg
