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
#include "kernels/sm90_fp8_fp4_gemm_swapped_rows.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_tokens.cuh"

namespace jdg {

template <Sm90Fp8Fp4GemmSwappedConfig kConfig>
struct Sm90Fp8Fp4GemmSwapped {
  using Traits = Sm90Fp8Fp4GemmSwappedTraits<kConfig>;
  using Params = typename Traits::Params;
  using Load = Sm90Fp8Fp4GemmSwappedLoad<kConfig>;
  using Tokens = Sm90Fp8Fp4GemmSwappedTokens<kConfig>;
  using Store = SwappedStore<Traits>;
  using Rows = SwappedFp4Rows<Traits>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  using Work = typename Traits::Work;
  using Sums = typename Traits::Sums;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr int kCtasPerSm = kConfig.ctas_per_sm;
  static constexpr int kBlockGroups = Rows::kNumGroups;
  static constexpr int kRoundGroups = kConfig.mma_groups;
  static constexpr int kNumRounds = kConfig.stage_k_blocks * kBlockGroups / kRoundGroups;

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
    if (warp < Traits::kNumMathWarps) {
      Sums sum;
      multiply(params, work, smem, warp, lane, sum);
      if constexpr (kConfig.num_splits > 1) ptx::cluster_wait();
      Store(params, work, smem, warp, lane).store(sum);
    } else {
      if (warp == Traits::kNumMathWarps) {
        Load::stages(params, work, smem, lane);
      } else {
        Tokens::run(work, smem, warp - Traits::kNumMathWarps - 1, lane);
      }
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

  // The products of groups of 32 of K whose results are waited for together: one K block's, or a
  // part of them.
  struct Round {
    StepRows rows[kRoundGroups];
    __device__ __forceinline__ void decode(const Rows& source, int group) {
#pragma unroll
      for (int i = 0; i < kRoundGroups; ++i) {
        source.decode(group + i, rows[i]);
        ptx::fence_registers(rows[i]);  // Before anything is waited for.
      }
    }
  };

  // Sets `sum` to this CTA's share of the product, K block after K block.
  __device__ static __forceinline__ void multiply(const Params& params, const Work& work,
                                                  Smem& smem, u32 warp, u32 lane, Sums& sum) {
    Ring ring(smem.stages);
    Rows rows(warp, lane);
    multiply_stage<true>(ring, rows, lane, sum);
#pragma unroll 1
    for (u32 i = work.first_stage + 1; i < work.end_stage; ++i) {
      multiply_stage<false>(ring, rows, lane, sum);
    }
    const RowScales scales = rows.final_scales();
#pragma unroll
    for (int i = 0; i < Traits::kAccumulators; ++i) {
      sum[i] *= i % 4 < 2 ? scales.upper : scales.lower;
    }
  }

  // A round is decoded while the one before it is multiplied.
  template <bool kFirst>
  __device__ static __forceinline__ void multiply_stage(Ring& ring, Rows& rows, u32 lane,
                                                        Sums& sum) {
    Stage& stage = ring.stage();
    wait(stage.full, ring.parity());
    rows.take_exponents(stage);
    Round rounds[2];
    float acc[kRoundGroups][Traits::kAccumulators];
    Sums block_sum;
#pragma unroll
    for (int i = 0; i < kNumRounds; ++i) {
      const int block = i * kRoundGroups / kBlockGroups;
      const int group = i * kRoundGroups % kBlockGroups;
      if (group == 0) rows.load(stage, block);
      rounds[i % 2].decode(rows, group);
      if (i == 0) {
        wait(stage.ready, ring.parity());
      } else {
        finish<kFirst>(stage, i - 1, rows, lane, rounds[(i - 1) % 2], acc, block_sum, sum);
      }
      start_steps_mma<kConfig.block_m>(acc, rounds[i % 2].rows, ptx::smem_address(stage.a[block]),
                                       group);
    }
    finish<kFirst>(stage, kNumRounds - 1, rows, lane, rounds[(kNumRounds - 1) % 2], acc, block_sum,
                   sum);
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(stage.empty);
    ring.advance();
  }

  // Waits for round `i` of a stage and adds it to what there is of its K block; the last of a block
  // moves that to the sums.
  template <bool kFirst>
  __device__ static __forceinline__ void finish(const Stage& stage, int i, const Rows& rows,
                                                u32 lane, Round& round,
                                                float (&acc)[kRoundGroups][Traits::kAccumulators],
                                                Sums& block_sum, Sums& sum) {
    const int block = i * kRoundGroups / kBlockGroups;
    const int first = i * kRoundGroups % kBlockGroups;
    const bool ends_block = first + kRoundGroups == kBlockGroups;
    // Where there are few, they are read while the tensor cores work.
    constexpr bool kEarly = kConfig.block_m <= 32;
    const float* sfa = &stage.sfa[block][lane % 4 * 2];
    Columns columns;
    if (kEarly && ends_block) columns.load(sfa);
    wait_steps_mma(acc, round.rows);
    if (!kEarly && ends_block) columns.load(sfa);
#pragma unroll
    for (int group = 0; group < kRoundGroups; ++group) {
      promote_split<0>(block_sum, acc[group], {}, rows.scales(block, first + group),
                       first + group == 0);
    }
    if (ends_block) add_columns(sum, block_sum, columns, kFirst && block == 0);
  }
};

}  // namespace jdg
