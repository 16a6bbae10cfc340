// The math role of the Hopper FP8 GEMM with FP4 weights and swapped operands: codes to registers, a
// product and a sum for each group of 32 of K.
#pragma once

#include "kernels/sm90_fp8_fp4_gemm_swapped_rows.cuh"

namespace jdg {

template <typename Traits>
struct SwappedFp4Math {
  using Rows = SwappedFp4Rows<Traits>;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;
  using Sums = typename Traits::Sums;
  static constexpr int kBlockM = Traits::kBlockM;
  static constexpr int kBlockGroups = Rows::kNumGroups;
  static constexpr int kRoundGroups = Traits::kConfig.mma_groups;
  static constexpr int kNumRounds = Traits::kStageKBlocks * kBlockGroups / kRoundGroups;

  // Sets `sum` to the product over the ring's next `num_stages` stages, K block after K block.
  __device__ static __forceinline__ void multiply(Ring& ring, u32 num_stages, u32 warp, u32 lane,
                                                  Sums& sum) {
    Rows rows(warp, lane);
    multiply_stage<true>(ring, rows, lane, sum);
#pragma unroll 1
    for (u32 i = 1; i < num_stages; ++i) {
      multiply_stage<false>(ring, rows, lane, sum);
    }
    const RowScales scales = rows.final_scales();
#pragma unroll
    for (int i = 0; i < Traits::kAccumulators; ++i) {
      sum[i] *= i % 4 < 2 ? scales.upper : scales.lower;
    }
  }

 private:
  using Columns = ColumnScales<Traits::kAccumulators>;

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
      start_steps_mma<kBlockM>(acc, rounds[i % 2].rows, ptx::smem_address(stage.a[block]), group);
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
    constexpr bool kEarly = kBlockM <= 32;
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
