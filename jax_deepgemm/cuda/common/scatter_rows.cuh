// Copies a warp's 16 rows of a box (tile_store.cuh) from shared memory to where each row belongs.
#pragma once

#include "common/tile_store.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// The address of the lane's row, of the 16 from `first` on; 0 for lanes without one, for rows from
// `end` on, and for those that nobody wants.
__device__ __forceinline__ u64 address_of_lane(const u64* addresses, u32 first, u32 end, u32 lane) {
  const u32 row = first + lane;
  return lane < kStoreRows && row < end ? addresses[row] : 0;
}

// Rows of kColumns elements of bfloat16 go to column `column` of rows that have `pitch` of them.
// Neighbouring lanes have the pieces of a row, 16 bytes each. `address` is address_of_lane's.
template <int kColumns>
__device__ __forceinline__ void scatter_box(const u8* box, u64 address, u32 column, u32 pitch,
                                            u32 lane) {
  constexpr u32 kPieces = kColumns / 8;
  constexpr u32 kRowsAtOnce = 32 / kPieces;
  const u32 first = column + lane % kPieces * 8;
#pragma unroll
  for (u32 begin = 0; begin < kStoreRows; begin += kRowsAtOnce) {
    const u32 row = begin + lane / kPieces;
    const u64 high = ptx::shuffle(static_cast<u32>(address >> 32), row);
    const u64 target = high << 32 | ptx::shuffle(static_cast<u32>(address), row);
    if (target == 0 || first >= pitch) continue;
    const u8* piece = box + box_offset<kColumns * 2>(row, lane % kPieces);
    *reinterpret_cast<uint4*>(target + first * 2) = *reinterpret_cast<const uint4*>(piece);
  }
}

}  // namespace jdg
