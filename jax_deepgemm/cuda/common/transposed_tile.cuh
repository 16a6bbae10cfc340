// Transposes a tile of 128 x 128 bytes through shared memory.
//
// Byte [column][row] of the tile lies in row `column` of 128 bytes, in chunks of 8 that are
// permuted by the column / 8. 16 lanes that write the same chunk of columns 0, 8, 16, ... then meet
// all 32 banks once, and so do 8 lanes that read 16 bytes each of one column.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

constexpr u32 kCastTile = 128;

struct TransposedTile {
  uint2 chunks[kCastTile * kCastTile / 8];

  __device__ static __forceinline__ u32 place(u32 column, u32 chunk) {
    return column * (kCastTile / 8) + (chunk ^ column / 8);
  }

  // Writes rows 8 chunk to 8 chunk + 7 of a column.
  __device__ __forceinline__ void write(u32 column, u32 chunk, uint2 bytes) {
    chunks[place(column, chunk)] = bytes;
  }

  // Reads rows 16 pair to 16 pair + 15 of a column.
  __device__ __forceinline__ uint4 read(u32 column, u32 pair) const {
    const u32 index = place(column, pair * 2);
    // A permutation by an odd number swaps the two chunks of a pair.
    const uint4 both = *reinterpret_cast<const uint4*>(&chunks[index & ~1u]);
    return index % 2 == 0 ? both : uint4{both.z, both.w, both.x, both.y};
  }
};

// Stores the first `count` of 16 bytes from byte `first` on. With kAligned, `count` is 0 or at
// least 16 and the address a multiple of 16 bytes.
template <bool kAligned>
__device__ __forceinline__ void store_sixteen(u8* values, u64 first, u32 count, uint4 bytes) {
  if constexpr (kAligned) {
    if (count != 0) *reinterpret_cast<uint4*>(values + first) = bytes;
  } else {
    const u32 words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
#pragma unroll
    for (u32 i = 0; i < 16; ++i) {
      if (i < count) values[first + i] = static_cast<u8>(words[i / 4] >> i % 4 * 8);
    }
  }
}

}  // namespace jdg
