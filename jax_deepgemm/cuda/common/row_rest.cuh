// Where A ends within a tile.
//
// TMA fills a box that reaches beyond A's last row with zeros, and is slow at that: 65 rows of 64 x
// 64 tiles, 4096 x 7168, took 17.8 us on an H200, where 128 rows take 14.2. So the rows with which
// A ends come in boxes of just as many, and where there are none nothing is loaded. Behind them a
// stage keeps what it has, which only gets into rows that D does not have.
#pragma once

#include "ptx/opaque.cuh"

namespace jdg {

// Rows from `row` on, of `num_rows`.
__device__ __forceinline__ u32 rows_from(u32 row, u32 num_rows) {
  // The loading thread has 24 registers, and needs them all where B's tile is four boxes.
  const u32 first = ptx::opaque(row);
  return first < num_rows ? num_rows - first : 0;
}

}  // namespace jdg
