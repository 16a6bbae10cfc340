// Which columns of D a tile has.
//
// Up to 128 columns, or with a scale per row of B, a tile has consecutive ones. A wider tile
// (kShares) has one block of 128 columns, which have one row of sfb, and a share of another block:
// of every kSharers + 1 blocks the last is shared out to the tiles of the others. So one row of sfb
// ends and the other begins at the same place in every tile: a place that differs would need a copy
// of the main loop for each, since deciding inside the loop costs 200 cycles a K block.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

template <int kBlockN, bool kShares>
struct TileColumns {
  static constexpr int kMain = kShares ? 128 : kBlockN;
  static constexpr int kRest = kBlockN - kMain;
  static constexpr int kSharers = kRest > 0 ? 128 / kRest : 1;
  static_assert(128 % (kRest > 0 ? kRest : 128) == 0, "a block is shared out in equal parts");

  u32 main;  // First column of the main part,
  u32 rest;  // and of the rest.

  // The columns of tile `n`, counted in tiles of one CTA.
  __device__ __forceinline__ explicit TileColumns(u32 n) {
    if constexpr (kShares) {
      const u32 first_block = n / kSharers * (kSharers + 1);
      const u32 share = n % kSharers;
      main = (first_block + share) * 128;
      rest = (first_block + kSharers) * 128 + share * kRest;
    } else {
      main = n * kBlockN;
      rest = main + kBlockN;
    }
  }

  // The column of D that a tile's column `offset` is.
  __device__ __forceinline__ u32 operator[](int offset) const {
    return offset < kMain ? main + offset : rest + (offset - kMain);
  }
};

}  // namespace jdg
