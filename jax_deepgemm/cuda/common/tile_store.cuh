// Writes a warp's 16 rows of a tile to global memory: registers -> shared memory -> TMA.
//
// Each warp has staging buffers of its own, so warps never wait for each other.
#pragma once

#include "common/math.cuh"
#include "ptx/copy.cuh"
#include "ptx/tma.cuh"

namespace jdg {

constexpr int kStoreRows = 16;  // What stmatrix writes at a time.

// How 16 x kBlockN results are cut into boxes of at most 128 bytes a row. The last box ends at the
// tile's last column, so it may repeat columns of the one before, with the same values.
template <int kBlockN, bool kFloat32>
struct StoreBoxes {
  static constexpr int kElementBytes = kFloat32 ? 4 : 2;
  static constexpr int kColumns = min_of(kBlockN, 128 / kElementBytes);
  static constexpr int kRowBytes = kColumns * kElementBytes;
  static constexpr bool kSwizzled = kRowBytes == 128;
  static constexpr int kCount = ceil_div(kBlockN, kColumns);
  static constexpr int kBytes = kStoreRows * kRowBytes;

  __host__ __device__ static constexpr int first_column(int box) {
    return min_of(box * kColumns, kBlockN - kColumns);
  }
};

// Byte offset of 16-byte chunk `chunk` of `row` in a box.
template <typename Boxes>
__device__ __forceinline__ u32 box_offset(u32 row, u32 chunk) {
  return row * Boxes::kRowBytes + (Boxes::kSwizzled ? chunk ^ (row % 8) : chunk) * 16;
}

// Rounds sums to bfloat16: packed[2g] holds two columns of row r in column group g, packed[2g + 1]
// the same columns of row r + 8.
template <int kCount>
__device__ __forceinline__ void pack_tile(const float (&sum)[kCount], u32 (&packed)[kCount / 2]) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) {
    packed[i] = ptx::pack_bfloat16(sum[2 * i], sum[2 * i + 1]);
  }
}

// Writes the columns of one box as bfloat16.
template <typename Boxes, int kFirstColumn, int kCount>
__device__ __forceinline__ void write_box(const u32 (&packed)[kCount], u32 box, u32 lane) {
  constexpr int kGroups = Boxes::kColumns / 8;
#pragma unroll
  for (int group = 0; group < kGroups; group += 2) {
    const u32* values = &packed[(kFirstColumn / 8 + group) * 2];
    const u32 address = box + box_offset<Boxes>(lane % 16, group + lane / 16);
    if (group + 1 < kGroups) {
      ptx::stmatrix_x4(address, values[0], values[1], values[2], values[3]);
    } else {
      ptx::stmatrix_x2(address, values[0], values[1]);
    }
  }
}

// As above, as float32.
template <typename Boxes, int kFirstColumn, int kCount>
__device__ __forceinline__ void write_box(const float (&sum)[kCount], u32 box, u32 lane) {
  const u32 row = lane / 4;
  const u32 quad = lane % 4;
#pragma unroll
  for (int group = 0; group < Boxes::kColumns / 8; ++group) {
    const float* values = &sum[(kFirstColumn / 8 + group) * 4];
    const u32 chunk = group * 2 + quad / 2;
    const u32 half = quad % 2 * 8;
    ptx::store_shared(box + box_offset<Boxes>(row, chunk) + half, values[0], values[1]);
    ptx::store_shared(box + box_offset<Boxes>(row + 8, chunk) + half, values[2], values[3]);
  }
}

// Writes boxes kBox ... kEnd - 1 into consecutive slots.
template <typename Boxes, int kBox, int kEnd, typename Value, int kCount>
__device__ __forceinline__ void write_slots(const Value (&values)[kCount], u32 slot, u32 lane) {
  if constexpr (kBox < kEnd) {
    write_box<Boxes, Boxes::first_column(kBox)>(values, slot, lane);
    write_slots<Boxes, kBox + 1, kEnd>(values, slot + Boxes::kBytes, lane);
  }
}

// Where a warp's rows go, and through what.
struct StoreTarget {
  const ptx::TensorMap* map;
  u8* slots;
  u32 column;
  u32 row;
  u32 group;
};

// The first half of a store: fills the slots with boxes kBox, kBox + 1, ... once the stores
// before have read them. The tensor cores leave shared memory a quarter of its bandwidth: this
// half is best done while they rest.
template <typename Boxes, int kNumSlots, int kBox = 0, typename Value, int kCount>
__device__ __forceinline__ void begin_store(const Value (&values)[kCount],
                                            const StoreTarget& target, u32 lane) {
  if (lane == 0) ptx::tma_store_wait_read();
  __syncwarp();
  write_slots<Boxes, kBox, min_of(kBox + kNumSlots, Boxes::kCount)>(
      values, ptx::smem_address(target.slots), lane);
}

// The second half: hands the slots to TMA, and stores the boxes that did not fit.
template <typename Boxes, int kNumSlots, int kBox = 0, typename Value, int kCount>
__device__ __forceinline__ void finish_store(const Value (&values)[kCount],
                                             const StoreTarget& target, u32 lane) {
  constexpr int kEnd = min_of(kBox + kNumSlots, Boxes::kCount);
  ptx::fence_proxy_async();
  __syncwarp();
  if (lane == 0) {
#pragma unroll
    for (int box = kBox; box < kEnd; ++box) {
      ptx::tma_store(target.map, target.slots + (box - kBox) * Boxes::kBytes,
                     target.column + Boxes::first_column(box), target.row, target.group);
    }
    ptx::tma_store_commit();
  }
  if constexpr (kEnd < Boxes::kCount) {
    begin_store<Boxes, kNumSlots, kEnd>(values, target, lane);
    finish_store<Boxes, kNumSlots, kEnd>(values, target, lane);
  }
}

}  // namespace jdg
