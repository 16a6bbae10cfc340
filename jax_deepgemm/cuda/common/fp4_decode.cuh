// e2m1 codes to e4m3, times a power of two that keeps them exact.
//
// e4m3 holds the magnitudes of e2m1, .5 to 6, times 2^6 down to 2^-8. Where the four exponents of
// 128 codes differ by no more than these 14, each group of 32 is decoded 2^-shift smaller than
// the group with the largest, and the 128 have one scale.
#pragma once

#include "common/fp4_exponents.cuh"
#include "ptx/permute.cuh"

namespace jdg {

constexpr u32 kMostFp4Shift = 14;  // Binades between 6 * 2^6 and the smallest exact .5.

// The e4m3 codes of the eight magnitudes.
struct alignas(8) Fp4Magnitudes {
  u32 low;   // Of 0, .5, 1 and 1.5,
  u32 high;  // and of 2, 3, 4 and 6.
};

// Magnitudes times 2^(6 - shift).
__device__ __forceinline__ Fp4Magnitudes fp4_magnitudes(u32 shift) {
  // A step of an e4m3 exponent is 8. From 2^-6 on down codes are multiples of 2^-9.
  const u32 low = shift < 12 ? 0x6C686000 - shift * 0x08080800 : 0x0C080400 >> (shift - 12);
  const u32 high = shift < 14 ? 0x7C787470 - shift * 0x08080808 : 0x0C080604;
  return {low, high};
}

// What any code of a group without a scale is.
__device__ __forceinline__ Fp4Magnitudes fp4_nans() { return {0x7F7F7F7F, 0x7F7F7F7F}; }

// Eight codes, the first in the lowest bits, to eight bytes in the same order.
__device__ __forceinline__ uint2 decode_fp4(u32 codes, Fp4Magnitudes magnitudes) {
  constexpr u32 kSigns = 0x80808080;
  const u32 picks = codes & 0x77777777;
  // Signs of odd codes are the tops of bytes, those of even codes become it.
  const u32 raised = codes << 4;
  const u32 first = ptx::permute_bytes(raised, codes, 0x5140);
  const u32 second = ptx::permute_bytes(raised, codes, 0x7362);
  return {
      ptx::permute_bytes(magnitudes.low, magnitudes.high, picks & 0xFFFF) | (first & kSigns),
      ptx::permute_bytes(magnitudes.low, magnitudes.high, picks >> 16) | (second & kSigns),
  };
}

// 2^(exponent - 127 - 6): what the magnitudes of shift 0 are to be multiplied with.
__device__ __forceinline__ float fp4_scale(u32 exponent) {
  constexpr u32 kOffset = 6;
  const u32 bits = exponent > kOffset ? (exponent - kOffset) << 23 : 1u << (exponent + 16);
  return __uint_as_float(bits);
}

}  // namespace jdg
