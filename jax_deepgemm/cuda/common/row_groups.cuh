// Which rows of A and D belong to which group, worked out from sizes that only the device knows.
#pragma once

#include "common/math.cuh"
#include "ptx/warp.cuh"

namespace jdg {

// Mirrors `_LAYOUTS` in primitives/m_grouped_kernel.py: what `RowGroups::numbers` says of
// group g.
enum class GroupLayout : u32 {
  kRagged = 0,  // Its size; groups follow each other.
  kPsum = 1,    // Its end; it begins at the end of the one before, rounded up to `alignment`.
  kMasked = 2,  // Its size; it begins at row g * alignment.
  kRanges = 3,  // Its begin, and num_groups numbers later its end.
};

// The groups of one launch.
struct RowGroups {
  const int* numbers;
  const int* row_ids;  // kRanges: negative for rows of no group.
  GroupLayout layout;
  u32 num_groups;
  u32 num_rows;   // Of all groups; no range reaches beyond, whatever the numbers are.
  u32 alignment;  // Rows.
  bool fills;     // Rows of no group are to be zero in D.
};

struct RowRange {
  u32 begin;
  u32 end;
};

// Sums of a warp's lanes up to and including its own, none larger than `most`.
__device__ __forceinline__ u32 prefix_sum(u32 value, u32 lane, u32 most) {
#pragma unroll
  for (u32 delta = 1; delta < 32; delta *= 2) {
    const u32 before = ptx::shuffle(value, lane - delta);
    if (lane >= delta) value = min(value + before, most);
  }
  return value;
}

// The largest of a warp's lanes up to and including its own.
__device__ __forceinline__ u32 prefix_max(u32 value, u32 lane) {
#pragma unroll
  for (u32 delta = 1; delta < 32; delta *= 2) {
    const u32 before = ptx::shuffle(value, lane - delta);
    if (lane >= delta) value = max(value, before);
  }
  return value;
}

// In shared memory: the rows of each group, and which tiles are its own.
template <int kMaxGroups>
struct GroupTable {
  RowRange ranges[kMaxGroups];
  u32 first_tile[kMaxGroups + 1];  // The last one is the number of tiles.

  // All threads of the CTA. Groups get `tiles_per_block` tiles for each `block_rows` rows.
  template <int kNumThreads>
  __device__ __forceinline__ void build(const RowGroups& groups, u32 block_rows,
                                        u32 tiles_per_block) {
    load<kNumThreads>(groups);
    __syncthreads();
    if (threadIdx.x < 32) scan(groups, threadIdx.x, block_rows, tiles_per_block);
    __syncthreads();
  }

 private:
  // Fills `ranges` with the numbers, no smaller than 0 and no larger than num_rows.
  template <int kNumThreads>
  __device__ __forceinline__ void load(const RowGroups& groups) {
    for (u32 g = threadIdx.x; g < groups.num_groups; g += kNumThreads) {
      const auto number = [&](u32 i) {
        return min(static_cast<u32>(max(groups.numbers[i], 0)), groups.num_rows);
      };
      const bool has_ends = groups.layout == GroupLayout::kRanges;
      ranges[g] = {number(g), has_ends ? number(g + groups.num_groups) : 0};
    }
  }

  // One warp: numbers to ranges and tiles, 32 groups at a time.
  __device__ __forceinline__ void scan(const RowGroups& groups, u32 lane, u32 block_rows,
                                       u32 tiles_per_block) {
    u32 row = 0;
    u32 tile = 0;
#pragma unroll 1
    for (u32 first = 0; first < groups.num_groups; first += 32) {
      const u32 g = first + lane;
      const bool exists = g < groups.num_groups;
      RowRange range = exists ? ranges[g] : RowRange{0, 0};
      // Inclusive: of sizes the sum, of ends the largest so far.
      range = range_of(groups, g, range, lane, row);
      const u32 num_rows = exists ? range.end - range.begin : 0;
      const u32 num_tiles = (num_rows + block_rows - 1) / block_rows * tiles_per_block;
      const u32 tiles = prefix_sum(num_tiles, lane, ~0u);
      if (exists) {
        ranges[g] = range;
        first_tile[g] = tile + tiles - num_tiles;
      }
      tile += ptx::shuffle(tiles, 31);
    }
    if (lane == 0) first_tile[groups.num_groups] = tile;
  }

  // The range of group g from its numbers. `row` carries from one 32 groups to the next what the
  // first of them needs of the last.
  __device__ static __forceinline__ RowRange range_of(const RowGroups& groups, u32 g,
                                                      RowRange numbers, u32 lane, u32& row) {
    u32 begin = numbers.begin;
    u32 end = numbers.end;
    if (groups.layout == GroupLayout::kRagged) {
      const u32 size = begin;
      const u32 sum = min(row + prefix_sum(size, lane, groups.num_rows), groups.num_rows);
      const u32 before = ptx::shuffle(sum, lane - 1);
      begin = lane == 0 ? row : before;
      end = sum;
      row = ptx::shuffle(sum, 31);
    } else if (groups.layout == GroupLayout::kPsum) {
      // Ends that fall make empty groups, not groups that overlap.
      end = max(prefix_max(begin, lane), row);
      const u32 before = ptx::shuffle(end, lane - 1);
      const u32 last = lane == 0 ? row : before;
      begin =
          min((last + groups.alignment - 1) / groups.alignment * groups.alignment, groups.num_rows);
      row = ptx::shuffle(end, 31);
    } else if (groups.layout == GroupLayout::kMasked) {
      const u32 size = min(begin, groups.alignment);
      begin = g * groups.alignment;
      end = begin + size;
    }
    return {begin, max(begin, end)};
  }
};

}  // namespace jdg
