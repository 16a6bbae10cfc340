// A vector of e2m1 codes with a scale for 32 of them, as e4m3 codes with one scale.
//
// Scales are folded into codes relative to the largest, as in fp4_decode.cuh. Vectors of which
// e4m3 cannot hold all (wide ones) have to be computed in another way. Most vectors have scales
// within a few binades: they are told by four bytes alone, and their tables are a product each.
#pragma once

#include "common/fp4_decode.cuh"
#include "common/math.cuh"

namespace jdg {

// A row of kRowBytes in TMA's and wgmma's swizzle of as many bytes, or of kSwizzle, where several
// rows share one of its lines; rows of 16 are not swizzled by themselves.
// As rows and arrays of them are aligned, a chunk's place is an exclusive or with a constant: one
// instruction, where sums of what is the same for all stages would be kept in registers.
template <u32 kRowBytes, u32 kSwizzle = kRowBytes>
class SwizzledRow {
 public:
  // Row `row` of those that begin `first` bytes behind `memory`, both multiples of 1024.
  __device__ __forceinline__ SwizzledRow(u8* memory, u32 first, u32 row)
      : memory_(memory),
        offset_(first + (row * kRowBytes ^ row * kRowBytes / 128 % (kSwizzle / 16) * 16)) {}

  __device__ __forceinline__ uint4& chunk(u32 i) const {
    return *reinterpret_cast<uint4*>(memory_ + (offset_ ^ i * 16));
  }

 private:
  u8* memory_;
  u32 offset_;
};

// The same of a row that is not swizzled.
struct PlainRow {
  const u8* bytes;

  __device__ __forceinline__ uint4 chunk(u32 i) const {
    return reinterpret_cast<const uint4*>(bytes)[i];
  }
};

// What codes of a vector are relative to.
struct Fp4Fold {
  u32 largest;    // Of the exponents, which the vector's scale has.
  bool is_plain;  // All are numbers close to each other.
  bool is_wide;   // e4m3 cannot hold them, or float32 not what is computed with the scale.

  __device__ __forceinline__ float scale() const { return fp4_scale(largest); }
};

// A row of packed codes has a chunk for each group, one of e4m3 codes two.
template <int kDim>
struct Fp4Vector {
  using Decoded = SwizzledRow<kDim>;
  static constexpr u32 kGroups = kDim / kFp4Group;
  static constexpr u32 kMostPlainShift = 11;  // fp4_magnitudes is linear up to there.
  // 2^+-60: products of two such scales with weights and sums stay far from the ends of float32.
  static constexpr u32 kLeastScale = 67;
  static constexpr u32 kMostScale = 187;

  static_assert(kDim % kFp4Group == 0 && kGroups <= 4, "exponents are a word");

  template <typename Row>
  __device__ static __forceinline__ Fp4Fold fold(const Row& codes, u32 packed) {
    const Fp4Fold fold = fold_of_exponents(packed);
    return fold.is_plain ? fold : fold_of_values(codes, packed);
  }

  // Decodes a vector and returns what its codes are relative to. In one branch for most vectors.
  template <typename Row>
  __device__ static __forceinline__ Fp4Fold decode(const Row& codes, u32 packed,
                                                   const Decoded& to) {
    Fp4Fold fold = fold_of_exponents(packed);
    if (fold.is_plain) {
      const u32 low = kLow - fold.largest * kLowStep;
      const u32 high = kHigh - fold.largest * kHighStep;
#pragma unroll
      for (int i = 0; i < static_cast<int>(kGroups); ++i) {
        const u32 exponent = fp4_exponent(packed, i);
        const Fp4Magnitudes magnitudes = {low + exponent * kLowStep, high + exponent * kHighStep};
        write_group(codes.chunk(i), magnitudes, to, i);
      }
    } else {
      fold = fold_of_values(codes, packed);
#pragma unroll 1
      for (u32 i = 0; i < kGroups; ++i) {
        const Fp4Magnitudes magnitudes = any_magnitudes(fp4_exponent(packed, i), fold.largest);
        write_group(codes.chunk(i), magnitudes, to, i);
      }
    }
    return fold;
  }

 private:
  // Those of shift 0, and what a shift takes away.
  static constexpr u32 kLow = 0x6C686000;
  static constexpr u32 kLowStep = 0x08080800;
  static constexpr u32 kHigh = 0x7C787470;
  static constexpr u32 kHighStep = 0x08080808;

  // That of a vector which its exponents show to be plain.
  __device__ static __forceinline__ Fp4Fold fold_of_exponents(u32 packed) {
    u32 largest = 0;
    u32 smallest = kNanExponent;
#pragma unroll
    for (int i = 0; i < static_cast<int>(kGroups); ++i) {
      const u32 exponent = fp4_exponent(packed, i);
      largest = max(largest, exponent);
      smallest = min(smallest, exponent);
    }
    const bool is_plain =
        largest - smallest <= kMostPlainShift && smallest >= kLeastScale && largest <= kMostScale;
    return {largest, is_plain, false};
  }

  // Groups of zeros may have any exponent, and make no vector wide; nor do those without a scale.
  template <typename Row>
  __device__ static __forceinline__ Fp4Fold fold_of_values(const Row& codes, u32 packed) {
    u32 largest = 0;
    u32 smallest = kNanExponent;
#pragma unroll 1
    for (u32 i = 0; i < kGroups; ++i) {
      const u32 exponent = fp4_exponent(packed, i);
      const uint4 x = codes.chunk(i);
      const bool has_values = ((x.x | x.y | x.z | x.w) & 0x77777777) != 0;
      if (exponent != 0 && exponent != kNanExponent && has_values) {
        largest = max(largest, exponent);
        smallest = min(smallest, exponent);
      }
    }
    if (largest == 0) return {kLeastScale, false, false};
    const bool is_wide =
        largest - smallest > kMostFp4Shift || largest < kLeastScale || largest > kMostScale;
    return {largest, false, is_wide};
  }

  __device__ static __forceinline__ Fp4Magnitudes any_magnitudes(u32 exponent, u32 largest) {
    if (exponent == 0) return {0, 0};
    if (exponent == kNanExponent) return fp4_nans();
    // A group of zeros may have a larger one than those that count.
    return fp4_magnitudes(min(largest - exponent, kMostFp4Shift));
  }

  __device__ static __forceinline__ void write_group(uint4 x, Fp4Magnitudes magnitudes,
                                                     const Decoded& to, u32 i) {
    to.chunk(2 * i) = sixteen(x.x, x.y, magnitudes);
    to.chunk(2 * i + 1) = sixteen(x.z, x.w, magnitudes);
  }

  __device__ static __forceinline__ uint4 sixteen(u32 first, u32 second, Fp4Magnitudes magnitudes) {
    const uint2 left = decode_fp4(first, magnitudes);
    const uint2 right = decode_fp4(second, magnitudes);
    return {left.x, left.y, right.x, right.y};
  }
};

}  // namespace jdg
