// D[m, n] = C[m, n] + sum_k A[m, k] * sfa[m, k / 128] * B[n, k] * 2^(exponents[n, k / 32] - 127)
// for few rows m and B in FP4.
//
// As in sm90_fp8_gemm_swapped.cuh, rows of B are the instruction's rows, and a cluster shares out
// K. Math warps decode them on their way from shared memory to registers, where the tensor cores
// read them. An instruction multiplies 32 of K, which is what has one scale: each has a sum of its
// own, so that codes are decoded without looking at exponents, and those may be anything.
#pragma once

#include "common/swapped_store.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_load.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_math.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_tokens.cuh"

namespace jdg {

template <Sm90Fp8Fp4GemmSwappedConfig kConfig>
struct Sm90Fp8Fp4GemmSwapped {
  using Traits = Sm90Fp8Fp4GemmSwappedTraits<kConfig>;
  using Params = typename Traits::Params;
  using Load = Sm90Fp8Fp4GemmSwappedLoad<kConfig>;
  using Tokens = Sm90Fp8Fp4GemmSwappedTokens<kConfig>;
  using Store = SwappedStore<Traits>;
  using Math = SwappedFp4Math<Traits>;
  using Smem = typename Traits::Smem;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;

  __device__ static __forceinline__ void run(const Params& params) {
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
    const u32 num_stages = work.end_stage - work.first_stage;
    if (warp < Traits::kNumMathWarps) {
      typename Traits::Ring ring(smem.stages);
      Sums sum;
      Math::multiply(ring, num_stages, warp, lane, sum);
      if constexpr (kConfig.num_splits > 1) ptx::cluster_wait();
      Store(params, work, smem, warp, lane).store(sum);
    } else {
      if (warp == Traits::kNumMathWarps) {
        Load::stages(params, work, smem, lane);
      } else {
        Tokens::run(num_stages, params.m, smem, warp - Traits::kNumMathWarps - 1, lane);
      }
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
      ptx::prefetch_tensor_map(Traits::Rows::in_blocks(params.m) ? params.cut.a : params.a);
      ptx::prefetch_tensor_map(params.sfa);
    }
#pragma unroll 1
    for (u32 i = warp; i < kConfig.num_stages; i += Traits::kNumThreads / 32) {
      ptx::mbarrier_init(smem.stages[i].full, 1 + 32);
      ptx::mbarrier_init(smem.stages[i].ready, Traits::kNumTokenWarps);
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
};

}  // namespace jdg
