// Zeros in the rows of D that belong to no group.
#pragma once

#include "common/row_groups.cuh"

namespace jdg {

// Rows of D as 16-byte words.
struct WordRows {
  uint4* first;
  u32 words_per_row;
};

// Warps `warp`, `warp + num_warps`, ... share the rows that no range has.
class ZeroRows {
 public:
  __device__ __forceinline__ ZeroRows(const WordRows& rows, u32 warp, u32 num_warps, u32 lane)
      : rows_(rows), warp_(warp), num_warps_(num_warps), lane_(lane) {}

  // Rows of no group, if those are to be zero. `ranges` are those of a table of `groups`.
  __device__ __forceinline__ void fill_unowned(const RowGroups& groups,
                                               const RowRange* ranges) const {
    if (!groups.fills) return;
    if (groups.layout == GroupLayout::kRanges) {
      fill_unnamed(groups);
    } else {
      fill_gaps(groups, ranges);
    }
  }

 private:
  // Rows between one group's end and the next one's begin, and behind the last.
  __device__ __forceinline__ void fill_gaps(const RowGroups& groups, const RowRange* ranges) const {
#pragma unroll 1
    for (u32 g = 0; g < groups.num_groups; ++g) {
      const bool is_last = g + 1 == groups.num_groups;
      const u32 end = is_last ? groups.num_rows : ranges[g + 1].begin;
      if (g == 0) fill(0, ranges[0].begin);
      fill(ranges[g].end, end);
    }
  }

  // Rows with a negative id, 32 at a time.
  __device__ __forceinline__ void fill_unnamed(const RowGroups& groups) const {
#pragma unroll 1
    for (u32 first = warp_ * 32; first < groups.num_rows; first += num_warps_ * 32) {
      const u32 row = first + lane_;
      const bool unnamed = row < groups.num_rows && is_unnamed(groups, row);
      u32 rows = ptx::vote_ballot(unnamed);
#pragma unroll 1
      for (; rows != 0; rows &= rows - 1) fill_row(first + __ffs(rows) - 1);
    }
  }

  __device__ static __forceinline__ bool is_unnamed(const RowGroups& groups, u32 row) {
    return groups.row_ids[row] < 0 || groups.row_ids[row] >= static_cast<int>(groups.num_groups);
  }

  __device__ __forceinline__ void fill(u32 begin, u32 end) const {
#pragma unroll 1
    for (u32 row = begin + warp_; row < end; row += num_warps_) fill_row(row);
  }

  __device__ __forceinline__ void fill_row(u32 row) const {
    uint4* line = rows_.first + static_cast<u64>(row) * rows_.words_per_row;
    for (u32 i = lane_; i < rows_.words_per_row; i += 32) line[i] = {0, 0, 0, 0};
  }

  const WordRows& rows_;
  u32 warp_;
  u32 num_warps_;
  u32 lane_;
};

}  // namespace jdg
