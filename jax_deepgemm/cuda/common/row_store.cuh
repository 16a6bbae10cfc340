// Writes a warp's 16 rows of a tile straight to global memory, some rows left out.
//
// Far slower than boxes of TMA (tile_store.cuh): for the few rows in which a group ends.
#pragma once

#include "ptx/copy.cuh"

namespace jdg {

__device__ __forceinline__ void store_pair(float* pointer, const float* sums) {
  *reinterpret_cast<float2*>(pointer) = {sums[0], sums[1]};
}

__device__ __forceinline__ void store_pair(u16* bfloat16, const float* sums) {
  *reinterpret_cast<u32*>(bfloat16) = ptx::pack_bfloat16(sums[0], sums[1]);
}

__device__ __forceinline__ void store_pair(u16* bfloat16, const u32* packed) {
  *reinterpret_cast<u32*>(bfloat16) = *packed;
}

// Registers of a pair of columns.
template <typename Value>
constexpr int kPairRegisters = 2;
template <>
inline constexpr int kPairRegisters<u32> = 1;

// Where kColumns consecutive columns of a matrix begin.
template <typename Element>
struct ColumnTarget {
  Element* matrix;
  u32 pitch;  // Elements from row to row; even. Columns beyond are not written.
  u32 column;
};

// Writes rows `row` to `end` - 1, at most 16. `values` are laid out as in write_bfloat16, or as in
// write_packed.
template <int kColumns, typename Element, typename Value>
__device__ __forceinline__ void store_rows(const Value* values, const ColumnTarget<Element>& target,
                                           u32 row, u32 end, u32 lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const u32 r = row + lane / 4 + half * 8;
    Element* line = target.matrix + static_cast<u64>(r) * target.pitch;
#pragma unroll
    for (int group = 0; group < kColumns / 8; ++group) {
      const u32 column = target.column + group * 8 + lane % 4 * 2;
      const Value* pair = values + (2 * group + half) * kPairRegisters<Value>;
      if (r < end && column < target.pitch) store_pair(line + column, pair);
    }
  }
}

}  // namespace jdg
