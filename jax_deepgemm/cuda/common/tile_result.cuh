// A tile's results in the registers in which they wait to be stored: C before, D after the sums are
// added. bfloat16 takes half of what the sums take, so that the next tile's sums fit beside.
#pragma once

#include "common/accumulate.cuh"
#include "common/tile_store.cuh"

namespace jdg {

// Registers of a thread for kColumns columns of 64 rows: pairs of bfloat16, or float32.
template <int kColumns, bool kFloat32>
struct TileResult {
  using Value = float;
  static constexpr int kCount = kColumns / 2;
};
template <int kColumns>
struct TileResult<kColumns, false> {
  using Value = u32;
  static constexpr int kCount = kColumns / 4;
};

// result = C + sum, or sum, rounded once. The order is that of the sums: two columns of row r, then
// the same of row r + 8.
template <bool kWithC, int kPairs>
__device__ __forceinline__ void finish_result(u32 (&result)[kPairs], const float* sum) {
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    float x = sum[2 * i];
    float y = sum[2 * i + 1];
    if constexpr (kWithC) {
      x += __uint_as_float(result[i] << 16);
      y += __uint_as_float(result[i] & 0xFFFF0000u);
    }
    result[i] = ptx::pack_bfloat16(x, y);
  }
}

template <bool kWithC, int kCount>
__device__ __forceinline__ void finish_result(float (&result)[kCount], const float* sum) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) result[i] = kWithC ? result[i] + sum[i] : sum[i];
}

__device__ __forceinline__ void load_result(u32* result, const u16* c) {
  *result = *reinterpret_cast<const u32*>(c);
}

__device__ __forceinline__ void load_result(float* result, const float* c) {
  const float2 pair = load_pair(c);
  result[0] = pair.x;
  result[1] = pair.y;
}

// Loads 16 rows of kColumns columns, from `row` and `column` on, of a matrix C of `num_rows` x
// `pitch` elements; elements outside are not read. `pitch` is even, so pairs of columns are
// aligned. One address a row and constants from there: addresses of their own for all columns would
// take the registers that the sums need.
template <int kColumns, typename Element, typename Value, int kCount>
__device__ __forceinline__ void load_tile(Value (&result)[kCount], const Element* c, u32 row,
                                          u32 column, u32 num_rows, u32 pitch, u32 lane) {
  constexpr int kGroups = kColumns / 8;
  constexpr int kPerPair = kCount / (2 * kGroups);  // Registers of a pair of columns.
  const u32 first = column + lane % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const u32 r = row + lane / 4 + half * 8;
    const int columns = r < num_rows ? static_cast<int>(pitch) - static_cast<int>(first) : 0;
    const Element* pairs = c + static_cast<u64>(r) * pitch + first;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      Value* pair = &result[(2 * group + half) * kPerPair];
      if (group * 8 < columns) load_result(pair, pairs + group * 8);
    }
  }
}

// Writes box kBox of a tile's results to a staging buffer.
template <typename Boxes, int kBox, int kCount>
__device__ __forceinline__ void write_result(const float (&result)[kCount], void* slot, u32 lane) {
  write_box<Boxes, kBox>(result, slot, lane);
}

template <typename Boxes, int kBox, int kCount>
__device__ __forceinline__ void write_result(const u32 (&result)[kCount], void* slot, u32 lane) {
  constexpr int kColumns = Boxes::columns(kBox);
  const u32* first = &result[Boxes::first_column(kBox) / 4];
  write_packed<kColumns>(first, ptx::smem_address(slot), lane);
}

}  // namespace jdg
