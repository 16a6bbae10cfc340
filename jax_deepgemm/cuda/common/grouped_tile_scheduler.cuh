// As tile_scheduler.cuh, for groups of rows that only the device knows the sizes of.
#pragma once

#include "common/row_groups.cuh"
#include "common/tile_scheduler.cuh"

namespace jdg {

struct GroupedTile {
  u32 row;  // First row of A and D of the cluster's tile.
  u32 end;  // The group's rows end here.
  u32 n;
  u32 group;
};

// Slabs that have rows of the tile's group, of the 64-row slabs from `first_row` on.
__device__ __forceinline__ u32 live_slabs(const GroupedTile& tile, u32 first_row) {
  return tile.end > first_row ? (tile.end - first_row + 63) / 64 : 0;
}

// Walks tiles `cluster`, `cluster + num_clusters`, ... of all groups, one group after the other;
// the order within a group is that of TileScheduler.
template <int kMaxGroups>
class GroupedTileScheduler {
 public:
  __device__ __forceinline__ GroupedTileScheduler(const GroupTable<kMaxGroups>& table,
                                                  const TileGrid& grid, u32 block_rows, u32 cluster,
                                                  u32 num_clusters)
      : table_(table), grid_(grid), block_rows_(block_rows), index_(cluster), step_(num_clusters) {
    find_group();
  }

  __device__ __forceinline__ bool valid() const { return group_ < grid_.num_groups; }

  __device__ __forceinline__ void advance() {
    index_ += step_;
    find_group();
  }

  // Of no use unless valid().
  __device__ __forceinline__ GroupedTile tile() const {
    const u32 group = min(group_, grid_.num_groups - 1);
    const RowRange rows = table_.ranges[group];
    const u32 num_m = max((rows.end - rows.begin + block_rows_ - 1) / block_rows_, 1u);
    const TileIndex index =
        tile_in_group(index_ - table_.first_tile[group], num_m, grid_.num_n, grid_.raster_width);
    return {rows.begin + index.m * block_rows_, rows.end, index.n, group};
  }

 private:
  __device__ __forceinline__ void find_group() {
    while (group_ < grid_.num_groups && index_ >= table_.first_tile[group_ + 1]) ++group_;
  }

  const GroupTable<kMaxGroups>& table_;
  const TileGrid& grid_;
  u32 block_rows_;
  u32 index_;
  u32 step_;
  u32 group_ = 0;
};

}  // namespace jdg
