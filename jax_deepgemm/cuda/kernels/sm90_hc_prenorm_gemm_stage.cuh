// What CUDA cores do with a stage of the Hopper kernel for a product with sums of squares: B is
// split for the tensor cores, and A is squared.
#pragma once

#include "common/split_float32.cuh"
#include "kernels/sm90_hc_prenorm_gemm_types.cuh"

namespace jdg {

template <Sm90HcPrenormGemmConfig kConfig>
class Sm90HcPrenormGemmStage {
 public:
  using Traits = Sm90HcPrenormGemmTraits<kConfig>;
  using Stage = typename Traits::Stage;

  // Of a thread of a team. Offsets go through a shuffle that changes nothing: the compiler would
  // compute them anew in every stage, 40 instructions that delay the first load.
  __device__ __forceinline__ explicit Sm90HcPrenormGemmStage(u32 thread) {
    const WeightsItem item(thread);
    const u32 lane = thread % 32;
    const u32 row = thread / 32 * 16 + lane / 8;
    thread_ = __shfl_sync(0xFFFFFFFF, thread, lane);
    read_ = __shfl_sync(0xFFFFFFFF, item.float32_offset(), lane);
    write_ = __shfl_sync(0xFFFFFFFF, item.bfloat16_offset(), lane);
    squares_ = __shfl_sync(0xFFFFFFFF, offset(row, lane % 8), lane);
  }

  // Splits B in place. All of a row is read by its warp before any of it is written, and no other
  // warp has a part in it: a warp's own barrier is enough.
  __device__ __forceinline__ void split_weights(Stage& stage) const {
    uint4 leading[kRounds][kConfig.stage_k_blocks];
    uint4 trailing[kRounds][kConfig.stage_k_blocks];
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      if (!has_item(round)) continue;
#pragma unroll
      for (int block = 0; block < kConfig.stage_k_blocks; ++block) {
        const u8* rows = rows_of(stage, block, round);
        const float4 x = *reinterpret_cast<const float4*>(rows + read_);
        const float4 y = *reinterpret_cast<const float4*>(rows + (read_ ^ 16));
        leading[round][block] = leading_parts(x, y);
        trailing[round][block] = trailing_parts(x, y);
      }
    }
    __syncwarp();
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      if (!has_item(round)) continue;
#pragma unroll
      for (int block = 0; block < kConfig.stage_k_blocks; ++block) {
        u8* rows = rows_of(stage, block, round) + write_;
        *reinterpret_cast<uint4*>(rows) = leading[round][block];
        *reinterpret_cast<uint4*>(rows + kHalfBytes) = trailing[round][block];
      }
    }
  }

  // Adds the squares of a warp's 16 rows of A: squares[i] is that of row 4 i + lane / 8, and of the
  // 8 columns from 8 * (lane % 8) on in each K block, wherever the row lies in the tile.
  __device__ __forceinline__ void add_squares(const Stage& stage, float (&squares)[4]) const {
#pragma unroll
    for (int block = 0; block < kConfig.stage_k_blocks; ++block) {
#pragma unroll
      for (u32 i = 0; i < 4; ++i) {
        // Four rows further another half of the line has the columns.
        const u32 place = (squares_ ^ i % 2 * 64) + i * 4 * kBf16LineBytes;
        const uint4 x = *reinterpret_cast<const uint4*>(stage.a[block] + place);
        add_squares(x.x, squares[i]);
        add_squares(x.y, squares[i]);
        add_squares(x.z, squares[i]);
        add_squares(x.w, squares[i]);
      }
    }
  }

 private:
  static constexpr u32 kRowChunks = kBf16LineBytes / 16;  // Permuted by the 128-byte swizzle.
  static constexpr u32 kItems = Traits::kBlockN * kRowChunks;
  static constexpr int kRounds = ceil_div(kItems, Traits::kTeamThreads);

  __device__ static __forceinline__ u32 offset(u32 row, u32 chunk) {
    return row * kBf16LineBytes + (chunk ^ row % kRowChunks) * 16;
  }

  // Eight elements of a row of B: chunk `chunk` of bfloat16. Eight lanes in a row have half a K
  // block of two rows whose numbers differ in bits 0 and 2: then neither what they read nor what
  // they write has banks in common.
  struct WeightsItem {
    u32 row;
    u32 chunk;

    __device__ __forceinline__ explicit WeightsItem(u32 index)
        : row(index / 64 * 8 + (index / 16 % 4 ^ index / 4 % 2 * 5)),
          chunk(index / 8 % 2 * 4 + index % 4) {}

    // Of the first of two chunks of float32; the other one differs in bit 4.
    __device__ __forceinline__ u32 float32_offset() const {
      return chunk / 4 * kHalfBytes + offset(row, chunk % 4 * 2);
    }
    __device__ __forceinline__ u32 bfloat16_offset() const { return offset(row, chunk); }
  };

  static constexpr u32 kHalfBytes = Traits::kBlockN * kBf16LineBytes;

  // In the last round only whole warps may have none.
  __device__ __forceinline__ bool has_item(int round) const {
    return (round + 1) * Traits::kTeamThreads <= kItems ||
           round * Traits::kTeamThreads + thread_ < kItems;
  }

  // Rows of B that are a round's, in a K block.
  __device__ static __forceinline__ u8* rows_of(Stage& stage, int block, int round) {
    return stage.b[block].half[0] + round * Traits::kTeamThreads / kRowChunks * kBf16LineBytes;
  }

  __device__ static __forceinline__ void add_squares(u32 pair, float& sum) {
    const float low = __uint_as_float(pair << 16);
    const float high = __uint_as_float(pair & 0xFFFF0000u);
    sum = __fmaf_rn(low, low, sum);
    sum = __fmaf_rn(high, high, sum);
  }

  u32 thread_;
  u32 read_;
  u32 write_;
  u32 squares_;
};

}  // namespace jdg
