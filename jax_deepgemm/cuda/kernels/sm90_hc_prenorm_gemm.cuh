// D[m, n] = sum_k A[m, k] * B[n, k] and the sums of A[m, k]^2, A bfloat16 and B float32 of few
// rows.
//
// Time goes into reading A, once: the tensor cores multiply it from shared memory with both parts
// that B is split into (common/split_float32.cuh), 2 * block_n columns of one product, while CUDA
// cores square it. A cluster shares out K for the rows of a tile, and in each CTA teams of
// warpgroups take stages in turn: while one waits for memory or for the tensor cores, another has
// work. Their sums meet in shared memory.
#pragma once

#include "kernels/sm90_hc_prenorm_gemm_load.cuh"
#include "kernels/sm90_hc_prenorm_gemm_stage.cuh"
#include "kernels/sm90_hc_prenorm_gemm_store.cuh"
#include "ptx/named_barrier.cuh"

namespace jdg {

template <Sm90HcPrenormGemmConfig kConfig>
struct Sm90HcPrenormGemm {
  using Traits = Sm90HcPrenormGemmTraits<kConfig>;
  using Load = Sm90HcPrenormGemmLoad<kConfig>;
  using OwnStage = Sm90HcPrenormGemmStage<kConfig>;
  using Store = Sm90HcPrenormGemmStore<kConfig>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;

  __device__ static __forceinline__ void run(const Sm90HcPrenormGemmParams& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const bool loads = warp == Traits::kMathThreads / 32;
    const Work work(params);
    prepare(params, smem, work);
    __syncthreads();
    ptx::launch_next_kernel();
    ptx::wait_for_previous_kernel();
    if (loads) {
      if (threadIdx.x % 32 == 0) Load::stages(params, work, smem);
      __syncwarp();
      if constexpr (kConfig.num_splits > 1) meet();
    } else {
      Sums sum = {};
      float squares[4] = {};
      multiply(work, smem, warp, sum, squares);
      Store::finish(sum, squares);
      await_stages();
      Store(params, work, smem, warp).store(sum, squares);
    }
  }

 private:
  // Returns when all CTAs of the cluster are done with their stages, over which the others write.
  // Nothing that was written has to be there for others, so that the arrival may be relaxed.
  __device__ static __forceinline__ void meet() {
    ptx::cluster_arrive_relaxed();
    ptx::cluster_wait();
  }

  // Of a math thread: returns when sums may lie where stages do.
  __device__ static __forceinline__ void await_stages() {
    if constexpr (kConfig.num_splits > 1) {
      meet();
    } else if constexpr (kConfig.num_teams > 1) {
      ptx::barrier_sync(Traits::kMathBarrier, Traits::kMathThreads);
    }
  }

  // A thread for each stage, and one of the warp that loads: what is done here delays the first
  // byte.
  __device__ static __forceinline__ void prepare(const Sm90HcPrenormGemmParams& params, Smem& smem,
                                                 const Work& work) {
    if (threadIdx.x < kConfig.num_stages) {
      StageBarriers& barriers = smem.barriers[threadIdx.x];
      ptx::mbarrier_init(barriers.full, 1);
      ptx::mbarrier_init(barriers.empty, Traits::kTeamThreads / 32);
      ptx::mbarrier_init_fence();
    } else if (threadIdx.x == Traits::kMathThreads) {
      ptx::prefetch_tensor_map(params.a);
      ptx::prefetch_tensor_map(params.b);
      if constexpr (kConfig.num_splits > 1) {
        Store::expect(smem, work.rank);
        ptx::mbarrier_init_fence();
      }
    }
  }

  // Adds a team's stages of this CTA's share of K.
  __device__ static __forceinline__ void multiply(const Work& work, Smem& smem, u32 warp, Sums& sum,
                                                  float (&squares)[4]) {
    typename Traits::Ring ring(smem.stages, smem.barriers);
    const OwnStage own(threadIdx.x % Traits::kTeamThreads);
    const u32 lane = threadIdx.x % 32;
    const u32 team = warp / (Traits::kTeamThreads / 32);
    for (u32 other = 0; other < team; ++other) ring.advance();
#pragma unroll 1
    for (u32 block = work.k_blocks.begin + team * kConfig.stage_k_blocks; block < work.k_blocks.end;
         block += kConfig.num_teams * kConfig.stage_k_blocks) {
      Stage& stage = ring.stage();
      wait(ring.barriers().full, ring.parity());
      own.split_weights(stage);
      // Every thread shows what it wrote to the tensor cores before any warp starts them.
      ptx::fence_proxy_async();
      ptx::barrier_sync(Traits::kTeamBarrier + team, Traits::kTeamThreads);
      start_products(stage, warp / 4 % kConfig.num_math_warpgroups, sum);
      own.add_squares(stage, squares);
      ptx::wgmma_wait<0>();
      ptx::fence_registers(sum);
      __syncwarp();
      if (lane == 0) ptx::mbarrier_arrive(ring.barriers().empty);
#pragma unroll
      for (int i = 0; i < kConfig.num_teams; ++i) ring.advance();
    }
  }

  __device__ static __forceinline__ void start_products(const Stage& stage, u32 warpgroup,
                                                        Sums& sum) {
    ptx::fence_registers(sum);
    ptx::wgmma_fence();
#pragma unroll
    for (int i = 0; i < kConfig.stage_k_blocks; ++i) {
      start_bf16_mma<Traits::kMmaN, false, false, false>(
          sum, ptx::smem_address(stage.a[i]) + warpgroup * kBf16AtomBytes,
          ptx::smem_address(&stage.b[i]));
    }
    ptx::wgmma_commit();
    ptx::fence_registers(sum);
  }
};

}  // namespace jdg
