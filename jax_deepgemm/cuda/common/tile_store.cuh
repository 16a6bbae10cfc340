// Writes a warp's 16 rows of a tile to global memory: registers -> shared memory -> TMA.
//
// Each warp has staging buffers of its own, so warps never wait for each other.
#pragma once

#include "common/math.cuh"
#include "ptx/copy.cuh"
#include "ptx/tma.cuh"

namespace jdg {

constexpr int kStoreRows = 16;  // What stmatrix writes at a time.

// How 16 rows of kMain and kRest columns are cut into boxes of at most 128 bytes a row. The last
// box of kMain ends at its last column, so it may repeat columns of the one before, with the same
// values.
template <int kMain, int kRest, bool kFloat32>
struct StoreBoxes {
  static constexpr int kElementBytes = kFloat32 ? 4 : 2;
  static constexpr int kMainColumns = min_of(kMain, 128 / kElementBytes);
  static constexpr int kRestColumns = min_of(kRest, 128 / kElementBytes);
  static constexpr int kMainCount = ceil_div(kMain, kMainColumns);
  static constexpr int kRestCount = kRest > 0 ? kRest / kRestColumns : 0;
  static constexpr int kCount = kMainCount + kRestCount;
  static constexpr int kMainBytes = kStoreRows * kMainColumns * kElementBytes;
  static constexpr int kRestBytes = kStoreRows * kRestColumns * kElementBytes;

  __host__ __device__ static constexpr bool in_rest(int box) { return box >= kMainCount; }

  __host__ __device__ static constexpr int columns(int box) {
    return in_rest(box) ? kRestColumns : kMainColumns;
  }

  // In the tile.
  __host__ __device__ static constexpr int first_column(int box) {
    return in_rest(box) ? kMain + (box - kMainCount) * kRestColumns
                        : min_of(box * kMainColumns, kMain - kMainColumns);
  }
};

// Byte offset of 16-byte chunk `chunk` of `row` in a box; TMA swizzles rows of 128 bytes.
template <int kRowBytes>
__device__ __forceinline__ u32 box_offset(u32 row, u32 chunk) {
  return row * kRowBytes + (kRowBytes == 128 ? chunk ^ (row % 8) : chunk) * 16;
}

// Writes kColumns columns of pairs of bfloat16. packed[2g] are two columns of row r in column group
// g, packed[2g + 1] the same columns of row r + 8.
template <int kColumns>
__device__ __forceinline__ void write_packed(const u32* packed, u32 address, u32 lane) {
  constexpr int kGroups = kColumns / 8;
#pragma unroll
  for (int group = 0; group < kGroups; group += 2) {
    const u32 row = address + box_offset<kColumns * 2>(lane % 16, group + lane / 16);
    const u32* x = packed + group * 2;
    if (group + 1 < kGroups) {
      ptx::stmatrix_x4(row, x[0], x[1], x[2], x[3]);
    } else {
      ptx::stmatrix_x2(row, x[0], x[1]);
    }
  }
}

// Writes kColumns columns as bfloat16. `sum` are those of the first; sum[4g], sum[4g + 1] are two
// columns of row r in column group g, sum[4g + 2], sum[4g + 3] the same columns of row r + 8.
template <int kColumns>
__device__ __forceinline__ void write_bfloat16(const float* sum, u32 address, u32 lane) {
  u32 packed[kColumns / 4];
#pragma unroll
  for (int i = 0; i < kColumns / 4; ++i) {
    packed[i] = ptx::pack_bfloat16(sum[2 * i], sum[2 * i + 1]);
  }
  write_packed<kColumns>(packed, address, lane);
}

// As above, as float32.
template <int kColumns>
__device__ __forceinline__ void write_float32(const float* sum, u32 address, u32 lane) {
  const u32 row = lane / 4;
  const u32 quad = lane % 4;
#pragma unroll
  for (int group = 0; group < kColumns / 8; ++group) {
    const float* x = sum + group * 4;
    const u32 chunk = group * 2 + quad / 2;
    const u32 half = quad % 2 * 8;
    ptx::store_shared(address + box_offset<kColumns * 4>(row, chunk) + half, x[0], x[1]);
    ptx::store_shared(address + box_offset<kColumns * 4>(row + 8, chunk) + half, x[2], x[3]);
  }
}

// Writes box kBox of a tile's sums to a staging buffer.
template <typename Boxes, int kBox, int kCount>
__device__ __forceinline__ void write_box(const float (&sum)[kCount], void* slot, u32 lane) {
  constexpr int kColumns = Boxes::columns(kBox);
  const float* first = &sum[Boxes::first_column(kBox) / 2];
  if constexpr (Boxes::kElementBytes == 4) {
    write_float32<kColumns>(first, ptx::smem_address(slot), lane);
  } else {
    write_bfloat16<kColumns>(first, ptx::smem_address(slot), lane);
  }
}

}  // namespace jdg
