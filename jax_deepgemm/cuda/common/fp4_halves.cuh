// e2m1 to e4m3 in seven instructions a word of eight codes, for products whose K may be in another
// order and that may be off by a power of two.
//
// e2m1 is s ee m and e4m3 is s eeee mmm: a code whose bits are put at s 00ee m00 is 2^-6 times its
// value. That holds for .5 too, which is a denormal number in both.
#pragma once

#include "ptx/permute.cuh"

namespace jdg {

constexpr float kFp4HalvesScale = 64;  // What products with decoded codes lack.

// Of the codes of a word, those with even and those with odd places in K, the first lowest.
struct Fp4Halves {
  u32 even;
  u32 odd;
};

__device__ __forceinline__ Fp4Halves decode_fp4_halves(u32 codes) {
  constexpr u32 kSigns = 0x80808080;
  constexpr u32 kMagnitudes = 0x1C1C1C1C;
  return {
      (codes << 4 & kSigns) | (codes << 2 & kMagnitudes),
      (codes & kSigns) | (codes >> 2 & kMagnitudes),
  };
}

// Brings 32 bytes of the other operand to that order of K: even places to the first 16, odd ones to
// the others.
__device__ __forceinline__ void split_halves(uint4& first, uint4& second) {
  constexpr u32 kEven = 0x6420;
  constexpr u32 kOdd = 0x7531;
  const uint4 x = first;
  const uint4 y = second;
  first = {ptx::permute_bytes(x.x, x.y, kEven), ptx::permute_bytes(x.z, x.w, kEven),
           ptx::permute_bytes(y.x, y.y, kEven), ptx::permute_bytes(y.z, y.w, kEven)};
  second = {ptx::permute_bytes(x.x, x.y, kOdd), ptx::permute_bytes(x.z, x.w, kOdd),
            ptx::permute_bytes(y.x, y.y, kOdd), ptx::permute_bytes(y.z, y.w, kOdd)};
}

}  // namespace jdg
