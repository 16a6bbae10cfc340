// Eight neighbours of a row: loaded, inspected and stored as e4m3 or bfloat16.
#pragma once

#include "ptx/convert.cuh"
#include "ptx/copy.cuh"
#include "ptx/types.cuh"

namespace jdg {

// bfloat16 stay packed, so that a thread can hold many.
template <bool kFloat32>
struct Eight {
  static constexpr int kWords = kFloat32 ? 8 : 4;

  u32 words[kWords];

  // Bits of a value as float32.
  __device__ __forceinline__ u32 bits(int i) const {
    if constexpr (kFloat32) return words[i];
    return i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xFFFF0000;
  }

  __device__ __forceinline__ float value(int i) const { return __uint_as_float(bits(i)); }

  __device__ __forceinline__ u32 magnitude(int i) const { return bits(i) & 0x7FFFFFFF; }

  __device__ __forceinline__ u32 largest_magnitude() const {
    u32 largest = magnitude(0);
#pragma unroll
    for (int i = 1; i < 8; ++i) largest = max(largest, magnitude(i));
    return largest;
  }
};

// Eight values, rounded to bfloat16 unless kFloat32.
template <bool kFloat32>
__device__ __forceinline__ Eight<kFloat32> eight_of(const float (&y)[8]) {
  Eight<kFloat32> eight;
#pragma unroll
  for (int i = 0; i < Eight<kFloat32>::kWords; ++i) {
    if constexpr (kFloat32) {
      eight.words[i] = __float_as_uint(y[i]);
    } else {
      eight.words[i] = ptx::pack_bfloat16(y[i * 2], y[i * 2 + 1]);
    }
  }
  return eight;
}

// Returns how many of eight neighbours from `first` on are before `end`.
__device__ __forceinline__ u32 count_of_eight(u32 first, u32 end) {
  return first < end ? min(end - first, 8u) : 0;
}

// Loads the first `count` of eight values from element `first` on; the others are zeros. With
// kAligned, `count` is 0 or 8 and the address a multiple of 16 bytes.
template <bool kFloat32, bool kAligned>
__device__ __forceinline__ Eight<kFloat32> load_eight(const void* x, u64 first, u32 count) {
  Eight<kFloat32> eight = {};
  if constexpr (kAligned) {
    if (count == 0) return eight;
    const uint4* chunks =
        reinterpret_cast<const uint4*>(static_cast<const u8*>(x) + first * (kFloat32 ? 4 : 2));
#pragma unroll
    for (int i = 0; i < Eight<kFloat32>::kWords / 4; ++i) {
      const uint4 chunk = chunks[i];
      eight.words[i * 4] = chunk.x;
      eight.words[i * 4 + 1] = chunk.y;
      eight.words[i * 4 + 2] = chunk.z;
      eight.words[i * 4 + 3] = chunk.w;
    }
  } else {
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
      if (i >= count) continue;
      if constexpr (kFloat32) {
        eight.words[i] = static_cast<const u32*>(x)[first + i];
      } else {
        eight.words[i / 2] |= static_cast<u32>(static_cast<const u16*>(x)[first + i]) << i % 2 * 16;
      }
    }
  }
  return eight;
}

// Four e4m3 codes, the first in the lowest byte.
__device__ __forceinline__ u32 pack_four_e4m3(float x, float y, float z, float w) {
  return ptx::pack_e4m3(x, y) | static_cast<u32>(ptx::pack_e4m3(z, w)) << 16;
}

// Codes of eight values, each multiplied with its factor.
template <bool kFloat32>
__device__ __forceinline__ uint2 encode(const Eight<kFloat32>& x, const float (&factor)[8]) {
  float y[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) y[i] = __fmul_rn(x.value(i), factor[i]);
  return {pack_four_e4m3(y[0], y[1], y[2], y[3]), pack_four_e4m3(y[4], y[5], y[6], y[7])};
}

// As above with one factor.
template <bool kFloat32>
__device__ __forceinline__ uint2 encode(const Eight<kFloat32>& x, float factor) {
  const float factors[8] = {factor, factor, factor, factor, factor, factor, factor, factor};
  return encode(x, factors);
}

// Stores the first `count` codes from byte `first` on. With kAligned, `count` is 0 or 8 and the
// address a multiple of 8 bytes.
template <bool kAligned>
__device__ __forceinline__ void store_eight(u8* values, u64 first, u32 count, uint2 codes) {
  if constexpr (kAligned) {
    if (count != 0) *reinterpret_cast<uint2*>(values + first) = codes;
  } else {
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
      if (i < count) values[first + i] = static_cast<u8>((i < 4 ? codes.x : codes.y) >> i % 4 * 8);
    }
  }
}

// Stores the first `count` of eight bfloat16 from element `first` on. With kAligned, `count` is 0
// or 8 and the address a multiple of 16 bytes.
template <bool kAligned>
__device__ __forceinline__ void store_eight(u16* values, u64 first, u32 count,
                                            const Eight<false>& eight) {
  if constexpr (kAligned) {
    const uint4 chunk = {eight.words[0], eight.words[1], eight.words[2], eight.words[3]};
    if (count != 0) *reinterpret_cast<uint4*>(values + first) = chunk;
  } else {
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
      if (i < count) values[first + i] = static_cast<u16>(eight.words[i / 2] >> i % 2 * 16);
    }
  }
}

}  // namespace jdg
