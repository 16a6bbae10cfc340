// A warp's 16 rows of FP4 codes as an operand of the tensor cores in registers.
//
// The four exponents of a row and K block are folded into its codes, relative to the largest, so
// that the row has one scale. Groups of 32 whose exponent is too far below it for e4m3 (wide ones)
// are zeros to the tensor cores; each thread adds their products to its sums itself.
#pragma once

#include "common/promote.cuh"
#include "kernels/sm90_fp8_fp4_gemm_swapped_types.cuh"

namespace jdg {

template <typename Traits>
class SwappedFp4Rows {
 public:
  using Params = typename Traits::Params;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Sums = typename Traits::Sums;
  using Work = typename Traits::Work;
  static constexpr u32 kStageKBlocks = Traits::kStageKBlocks;
  static constexpr int kNumGroups = kBlockK / kFp4Group;  // Of a row and K block.

  // What goes to the tensor cores, and what their result is to be multiplied with.
  struct Block {
    BlockRows rows;
    RowScales scales;
  };

  __device__ __forceinline__ SwappedFp4Rows(const Params& params, const Work& work, Smem& smem,
                                            u32 warp, u32 lane)
      : params_(params), table_(smem.magnitudes), row_(warp * 16 + lane / 4), lane_(lane) {
    const u64 first = static_cast<u64>(work.group) * params.n;
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {
      // Rows that are not there have codes of zeros; their columns of D are not stored.
      const u32 row = min(work.column + row_ + half * 8, params.n - 1);
      lines_[half] = params.exponents + (first + row) * params.num_k_blocks;
    }
    next_k_block_ = work.first_stage * kStageKBlocks;
    load_next();
  }

  // Goes to the next stage, which need not have arrived: its exponents are there, and those of the
  // one behind it are on their way.
  __device__ __forceinline__ void advance() {
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {
#pragma unroll
      for (u32 i = 0; i < kStageKBlocks; ++i) current_[half][i] = next_[half][i];
    }
    next_k_block_ += kStageKBlocks;
    load_next();
    has_wide_ = false;
  }

  // Decodes K block `i` of the stage.
  __device__ __forceinline__ void decode(const Stage& stage, int i, Block& block) {
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {
      const u32 packed = current_[half][i];
      const u32 largest = largest_exponent(packed);
#pragma unroll
      for (int group = 0; group < kNumGroups; ++group) {
        const u32 exponent = fp4_exponent(packed, group);
        has_wide_ |= is_wide(exponent, largest);
        const Fp4Magnitudes magnitudes = table_.entries[entry(exponent, largest)];
        // The tensor cores take words q and 4 + q of 4 codes each from lane q of a row.
        const u8* codes = codes_of(stage.b[i], half, group) + lane_ % 4 * 2;
        const u32 first = *reinterpret_cast<const u16*>(codes);
        const u32 second = *reinterpret_cast<const u16*>(codes + 8);
        const uint2 decoded = decode_fp4(first | second << 16, magnitudes);
        block.rows[group][half] = decoded.x;
        block.rows[group][half + 2] = decoded.y;
      }
      (half == 0 ? block.scales.upper : block.scales.lower) = fp4_scale(largest);
    }
  }

  // Adds the products of the stage's wide groups to the sums. Slow, and rarely needed.
  __device__ __forceinline__ void add_wide(const Stage& stage, Sums& sum) const {
    if (!has_wide_) return;
#pragma unroll 1
    for (u32 i = 0; i < kStageKBlocks; ++i) {
#pragma unroll
      for (u32 half = 0; half < 2; ++half) {
        const u32 packed = exponents_of(half, next_k_block_ - kStageKBlocks + i);
        const u32 largest = largest_exponent(packed);
#pragma unroll 1
        for (int group = 0; group < kNumGroups; ++group) {
          const u32 exponent = fp4_exponent(packed, group);
          if (is_wide(exponent, largest)) add_group(stage, i, half, group, exponent, sum);
        }
      }
    }
  }

 private:
  __device__ static __forceinline__ bool is_number(u32 exponent) {
    return exponent != 0 && exponent != kNanExponent;
  }

  __device__ static __forceinline__ bool is_wide(u32 exponent, u32 largest) {
    return is_number(exponent) && largest > exponent + kMostFp4Shift;
  }

  // Of a row's four; 0 if none is a number.
  __device__ static __forceinline__ u32 largest_exponent(u32 packed) {
    u32 largest = 0;
#pragma unroll
    for (int group = 0; group < kNumGroups; ++group) {
      const u32 exponent = fp4_exponent(packed, group);
      largest = max(largest, exponent == kNanExponent ? 0 : exponent);
    }
    return largest;
  }

  __device__ static __forceinline__ u32 entry(u32 exponent, u32 largest) {
    if (exponent == kNanExponent) return Fp4MagnitudeTable::kNan;
    return exponent == 0 ? Fp4MagnitudeTable::kZero
                         : min(largest - exponent, Fp4MagnitudeTable::kZero);
  }

  // Four exponents of a row; 0 where K has ended.
  __device__ __forceinline__ u32 exponents_of(u32 half, u32 k_block) const {
    if (k_block >= params_.num_k_blocks) return 0;
    const u32 packed = lines_[half][k_block];
    const u32 num_groups = params_.num_fp4_groups - k_block * kNumGroups;
    return num_groups < kNumGroups ? packed & ((1u << 8 * num_groups) - 1) : packed;
  }

  __device__ __forceinline__ void load_next() {
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {
#pragma unroll
      for (u32 i = 0; i < kStageKBlocks; ++i) {
        next_[half][i] = exponents_of(half, next_k_block_ + i);
      }
    }
  }

  // The 16 bytes of a group, behind TMA's 64-byte swizzle.
  __device__ __forceinline__ const u8* codes_of(const u8* block, u32 half, u32 group) const {
    const u32 row = row_ + half * 8;
    return block + row * Traits::kCodeBytes + (group ^ row / 2 % 4) * 16;
  }

  __device__ __forceinline__ void add_group(const Stage& stage, u32 i, u32 half, u32 group,
                                            u32 exponent, Sums& sum) const {
    constexpr u32 kUnitShift = 6;  // Magnitudes as they are.
    const Fp4Magnitudes magnitudes = fp4_magnitudes(kUnitShift);
    const float scale = __uint_as_float(exponent << 23);
#pragma unroll 1
    for (u32 k = 0; k < kFp4Group; ++k) {
      const u32 code = codes_of(stage.b[i], half, group)[k / 2] >> k % 2 * 4;
      const float weight = e4m3_value(decode_fp4(code & 0xF, magnitudes).x);
      const u32 chunk = group * 2 + k / 16;
#pragma unroll
      for (int j = 0; j < Traits::kBlockM / 4; ++j) {
        const u32 token = j / 2 * 8 + lane_ % 4 * 2 + j % 2;
        const u8* line = stage.a[i] + token * kBlockK;
        const float value = e4m3_value(line[(chunk ^ token % 8) * 16 + k % 16]);
        float& target = sum[j / 2 * 4 + half * 2 + j % 2];
        target = __fmaf_rn(value * weight, stage.sfa[i][token] * scale, target);
      }
    }
  }

  const Params& params_;
  const Fp4MagnitudeTable& table_;
  const u32* lines_[2];  // Of exponents: of the thread's upper row and lower row.
  u32 row_;              // Of the tile: the upper one.
  u32 lane_;
  u32 next_k_block_;
  u32 current_[2][kStageKBlocks];
  u32 next_[2][kStageKBlocks];
  bool has_wide_;
};

}  // namespace jdg
