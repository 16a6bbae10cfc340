// Logits of wide FP4 vectors, which e4m3 codes with one scale cannot be.
//
// After its tiles a math warp looks at its keys again and overwrites what it stored for a wide key,
// or a row with a wide query: a dot product of integers for each group of 32, scaled in float32.
// A logit is computed so if and only if its own row or key asks for it.
#pragma once

#include "common/fp4_vector.cuh"
#include "kernels/sm90_fp8_fp4_mqa_logits_types.cuh"
#include "kernels/sm90_fp8_mqa_logits_schedule.cuh"
#include "kernels/sm90_fp8_mqa_logits_sums.cuh"
#include "ptx/maximum.cuh"

namespace jdg {

template <Sm90Fp8MqaLogitsConfig kConfig>
class Sm90Fp8Fp4MqaLogitsWide {
 public:
  using Traits = Sm90Fp8Fp4MqaLogitsTraits<kConfig>;
  using Params = typename Traits::Params;
  using Schedule = Sm90Fp8MqaLogitsSchedule<kConfig, Traits>;
  using Element = typename Traits::Element;

  __device__ __forceinline__ Sm90Fp8Fp4MqaLogitsWide(const Params& params, u32 warp, u32 lane)
      : params_(params), warp_(warp), lane_(lane) {}

  // Looks at the `remaining` tiles of the CTA, the first of which is `start`.
  __device__ __forceinline__ void tiles(typename Traits::TileStart start, u32 remaining) const {
    u32 skipped = start.tile;
#pragma unroll 1
    for (u32 block = start.block; remaining > 0; ++block) {
      const typename Schedule::Tiles own = Schedule::tiles_of(params_, block);
      const u32 count = own.count == 0 ? 0 : min(own.count - skipped, remaining);
      if (count == 0) continue;
      const u32 rows = wide_rows(block);
#pragma unroll 1
      for (u32 i = 0; i < count; ++i) tile(block, own.first + skipped + i, rows);
      skipped = 0;
      remaining -= count;
    }
  }

 private:
  static constexpr u32 kCodeBytes = Traits::kCodeBytes;
  static constexpr u32 kHeads = kConfig.num_heads;
  static constexpr u32 kWarpKeys = 16;
  static constexpr u32 kGroups = kConfig.head_dim / kFp4Group;

  // Codes and exponents of a vector.
  struct Packed {
    PlainRow codes;
    u32 exponents;

    __device__ __forceinline__ bool is_wide() const {
      return Fp4Vector<kConfig.head_dim>::fold(codes, exponents).is_wide;
    }
  };

  __device__ __forceinline__ Packed query(u64 pair) const {
    return {{params_.q_codes + pair * kCodeBytes}, params_.q_exponents[pair]};
  }

  __device__ __forceinline__ Packed key(u32 key) const {
    return {{params_.key_codes + static_cast<u64>(key) * kCodeBytes}, params_.key_exponents[key]};
  }

  // The rows of a block with a wide query, as bits.
  __device__ __forceinline__ u32 wide_rows(u32 block) const {
    u32 rows = 0;
#pragma unroll 1
    for (u32 i = 0; i < Traits::kBlockQ; ++i) {
      const u32 row = block * Traits::kBlockQ + i;
      bool wide = false;
#pragma unroll 1
      for (u32 head = lane_; head < kHeads && row < params_.num_rows; head += 32) {
        wide = wide || query(static_cast<u64>(row) * kHeads + head).is_wide();
      }
      if (ptx::vote_any(wide)) rows |= 1u << i;
    }
    return rows;
  }

  __device__ __forceinline__ void tile(u32 block, u32 tile, u32 wide_rows) const {
    const u32 first = tile * Traits::kBlockKv + warp_ * kWarpKeys;
    const u32 own = first + lane_;
    const bool has_key = lane_ < kWarpKeys && own < params_.num_keys;
    const bool is_wide = has_key && key(own).is_wide();
#pragma unroll 1
    for (u32 i = 0; i < Traits::kBlockQ; ++i) {
      const u32 row = block * Traits::kBlockQ + i;
      const RowTarget target = row_target(params_, row);
      const bool is_in_range = has_key && own - target.keys.start < target.keys.count;
      u32 keys = ptx::vote_ballot(is_in_range && (is_wide || (wide_rows >> i & 1) != 0));
#pragma unroll 1
      for (u32 j = 0; keys != 0; ++j, keys >>= 1) {
        if ((keys & 1) != 0) rewrite(row, first + j, target.base);
      }
    }
  }

  // Heads are dealt to the lanes.
  __device__ __forceinline__ void rewrite(u32 row, u32 index, u64 base) const {
    const Packed k = key(index);
    float sum = 0;
#pragma unroll 1
    for (u32 head = lane_; head < kHeads; head += 32) {
      const u64 pair = static_cast<u64>(row) * kHeads + head;
      const float positive = ptx::max_or_nan(dot(query(pair), k), 0);
      sum = __fmaf_rn(positive, params_.head_weights[pair], sum);
    }
#pragma unroll 1
    for (u32 distance = 16; distance > 0; distance /= 2) {
      sum += __uint_as_float(ptx::shuffle_xor(__float_as_uint(sum), distance));
    }
    Element* logits = static_cast<Element*>(params_.logits);
    if (lane_ == 0) Sm90Fp8MqaLogitsSums<Traits>::put(logits + (base + index), sum);
  }

  __device__ static __forceinline__ float dot(const Packed& x, const Packed& y) {
    float sum = 0;
#pragma unroll 1
    for (u32 i = 0; i < kGroups; ++i) {
      const uint4 a = x.codes.chunk(i);
      const uint4 b = y.codes.chunk(i);
      const int words = dot_of_word(a.x, b.x) + dot_of_word(a.y, b.y) + dot_of_word(a.z, b.z) +
                        dot_of_word(a.w, b.w);
      // The smaller scale first: what is too large then is so without it.
      const u32 first = fp4_exponent(x.exponents, i);
      const u32 second = fp4_exponent(y.exponents, i);
      const float product = 0.25f * static_cast<float>(words) * scale(min(first, second));
      sum = __fmaf_rn(product, scale(max(first, second)), sum);
    }
    return sum;
  }

  // 2^(exponent - 127), zero or NaN.
  __device__ static __forceinline__ float scale(u32 exponent) {
    return __uint_as_float(exponent == kNanExponent ? 0x7FFFFFFF : exponent << 23);
  }

  // Four times the products of eight codes.
  __device__ static __forceinline__ int dot_of_word(u32 x, u32 y) {
    // Twice their magnitudes, and the signs at the tops of bytes.
    constexpr Fp4Magnitudes kTwice = {0x03020100, 0x0C080604};
    const uint2 a = decode_fp4(x, kTwice);
    const uint2 b = decode_fp4(y, kTwice);
    return dot_of_four(a.x, b.x) + dot_of_four(a.y, b.y);
  }

  __device__ static __forceinline__ int dot_of_four(u32 x, u32 y) {
    constexpr u32 kMagnitude = 0x7F7F7F7F;
    const u32 is_negative = ((x ^ y) >> 7 & 0x01010101) * 0xFF;
    const u32 a = x & kMagnitude;
    const u32 b = y & kMagnitude;
    const u32 positive = __dp4a(a, b & ~is_negative, 0u);
    return static_cast<int>(positive - __dp4a(a, b & is_negative, 0u));
  }

  const Params& params_;
  u32 warp_;
  u32 lane_;
};

}  // namespace jdg
