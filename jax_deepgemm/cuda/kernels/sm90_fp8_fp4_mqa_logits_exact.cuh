// A logit of FP4 vectors without tensor cores, for vectors that e4m3 codes with one scale cannot
// be: a dot product of integers for each group of 32, scaled in float32.
#pragma once

#include "common/fp4_vector.cuh"
#include "ptx/maximum.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// Codes and exponents of a vector in global memory.
template <int kDim>
struct PackedFp4 {
  PlainRow codes;
  u32 exponents;

  __device__ __forceinline__ bool is_wide() const {
    return Fp4Vector<kDim>::fold(codes, exponents).is_wide;
  }
};

// Logits of rows of `kHeads` queries. A warp computes one: heads are dealt to the lanes.
template <int kHeads, int kDim>
class Fp4ExactLogits {
 public:
  using Packed = PackedFp4<kDim>;

  // Vectors of a row and head are adjacent, heads first.
  __device__ __forceinline__ Fp4ExactLogits(const u8* codes, const u32* exponents,
                                            const float* weights, u32 lane)
      : codes_(codes), exponents_(exponents), weights_(weights), lane_(lane) {}

  __device__ __forceinline__ bool has_wide_query(u32 row) const {
    bool wide = false;
#pragma unroll 1
    for (u32 head = lane_; head < kHeads; head += 32) {
      wide = wide || query(static_cast<u64>(row) * kHeads + head).is_wide();
    }
    return ptx::vote_any(wide);
  }

  // The logit of a row and a key, in each lane.
  __device__ __forceinline__ float logit(u32 row, const Packed& key) const {
    float sum = 0;
#pragma unroll 1
    for (u32 head = lane_; head < kHeads; head += 32) {
      const u64 pair = static_cast<u64>(row) * kHeads + head;
      const float positive = ptx::max_or_nan(dot(query(pair), key), 0);
      sum = __fmaf_rn(positive, weights_[pair], sum);
    }
#pragma unroll 1
    for (u32 distance = 16; distance > 0; distance /= 2) {
      sum += __uint_as_float(ptx::shuffle_xor(__float_as_uint(sum), distance));
    }
    return sum;
  }

 private:
  __device__ __forceinline__ Packed query(u64 pair) const {
    return {{codes_ + pair * (kDim / 2)}, exponents_[pair]};
  }

  __device__ static __forceinline__ float dot(const Packed& x, const Packed& y) {
    float sum = 0;
#pragma unroll 1
    for (u32 i = 0; i < kDim / kFp4Group; ++i) {
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

  const u8* codes_;
  const u32* exponents_;
  const float* weights_;
  u32 lane_;
};

}  // namespace jdg
