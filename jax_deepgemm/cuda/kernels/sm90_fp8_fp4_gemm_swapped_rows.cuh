// A warp's 16 rows of FP4 codes as an operand of the tensor cores in registers, and their scales.
#pragma once

#include "kernels/sm90_fp8_fp4_gemm_swapped_types.cuh"
#include "ptx/ldmatrix.cuh"

namespace jdg {

// A thread's two rows, r = lane / 4 and r + 8 of its warp's, stage after stage.
template <typename Traits>
class SwappedFp4Rows {
 public:
  using Stage = typename Traits::Stage;
  static constexpr u32 kStageKBlocks = Traits::kStageKBlocks;
  static constexpr int kNumGroups = kBlockK / kFp4Group;  // Of a row and K block.

  __device__ __forceinline__ SwappedFp4Rows(u32 warp, u32 lane)
      : row_(warp * 16 + lane / 4), codes_offset_(offset_of_codes(warp * 16, lane)) {}

  // Goes to a stage that has arrived.
  __device__ __forceinline__ void take_exponents(const Stage& stage) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto& line = stage.exponents[row_ + half * 8];
#pragma unroll
      for (u32 i = 0; i < kStageKBlocks; ++i) exponents_[half][i] = line.of_block[i];
#pragma unroll
      for (u32 i = 0; i < kStageKBlocks; ++i) nans_[half].include(exponents_[half][i]);
    }
  }

  // Loads the codes of K block `block` of the stage.
  __device__ __forceinline__ void load(const Stage& stage, int block) {
    const u32 address = ptx::smem_address(stage.b[block]) + codes_offset_;
    ptx::ldmatrix_x4(codes_[0], address);
    ptx::ldmatrix_x4(codes_[1], address + 8 * Traits::kCodeBytes);
  }

  // Decodes group `group` of them. Even places of K are the first 16 bytes of a row, odd ones the
  // others.
  __device__ __forceinline__ void decode(int group, StepRows& rows) const {
    const Fp4Halves upper = decode_fp4_halves(codes_[0][group]);
    const Fp4Halves lower = decode_fp4_halves(codes_[1][group]);
    rows[0] = upper.even;
    rows[1] = lower.even;
    rows[2] = upper.odd;
    rows[3] = lower.odd;
  }

  __device__ __forceinline__ RowScales scales(int block, int group) const {
    return {fp4_group_scale(exponents_[0][block], group),
            fp4_group_scale(exponents_[1][block], group)};
  }

  // What sums of products are to be multiplied with at the end: NaN if a group had no scale, which
  // no other group can mend.
  __device__ __forceinline__ RowScales final_scales() const {
    return {nans_[0].any() ? nan() : kFp4HalvesScale, nans_[1].any() ? nan() : kFp4HalvesScale};
  }

 private:
  __device__ static __forceinline__ float nan() { return __uint_as_float(0x7FFFFFFF); }

  // Where in a K block this lane's line of a load of four groups of eight rows begins: 16 bytes,
  // behind TMA's 64-byte swizzle.
  __device__ static __forceinline__ u32 offset_of_codes(u32 first_row, u32 lane) {
    const u32 row = first_row + lane % 8;
    return row * Traits::kCodeBytes + (lane / 8 ^ row / 2 % 4) * 16;
  }

  u32 row_;
  u32 codes_offset_;
  u32 codes_[2][kNumGroups];
  u32 exponents_[2][kStageKBlocks];
  Fp4Nans nans_[2];
};

}  // namespace jdg
