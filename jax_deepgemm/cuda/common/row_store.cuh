// Writes a warp's 16 rows of a tile straight to global memory, some rows left out.
//
// Far slower than boxes of TMA (tile_store.cuh): for the few rows in which a group ends.
#pragma once

#include "ptx/copy.cuh"

namespace jdg {

__device__ __forceinline__ void store_pair(float* pointer, float x, float y) {
  *reinterpret_cast<float2*>(pointer) = {x, y};
}

__device__ __forceinline__ void store_pair(u16* bfloat16, float x, float y) {
  *reinterpret_cast<u32*>(bfloat16) = ptx::pack_bfloat16(x, y);
}

// Where kColumns consecutive columns of a matrix begin.
template <typename Element>
struct ColumnTarget {
  Element* matrix;
  u32 pitch;  // Elements from row to row; even. Columns beyond are not written.
  u32 column;
};

// Writes rows `row` to `end` - 1, at most 16. `sum` is laid out as in write_bfloat16.
template <int kColumns, typename Element>
__device__ __forceinline__ void store_rows(const float* sum, const ColumnTarget<Element>& target,
                                           u32 row, u32 end, u32 lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const u32 r = row + lane / 4 + half * 8;
    Element* line = target.matrix + static_cast<u64>(r) * target.pitch;
#pragma unroll
    for (int group = 0; group < kColumns / 8; ++group) {
      const u32 column = target.column + group * 8 + lane % 4 * 2;
      const float* x = sum + group * 4 + half * 2;
      if (r < end && column < target.pitch) store_pair(line + column, x[0], x[1]);
    }
  }
}

}  // namespace jdg
