// As grouped_tile_scheduler.cuh, for roles of whole warps: lanes look for a tile's group together.
//
// What they find, a ballot, is seen to be the same in all of them. A search of each lane's own may
// diverge for all the compiler knows, and takes addresses of stages out of the uniform registers:
// 20 instructions a K block.
#pragma once

#include "common/grouped_tile_scheduler.cuh"

namespace jdg {

template <int kMaxGroups>
class GroupedWarpScheduler {
 public:
  // Tiles blockIdx.x, blockIdx.x + gridDim.x, ... of all groups.
  __device__ __forceinline__ GroupedWarpScheduler(const GroupTable<kMaxGroups>& table,
                                                  const TileGrid& grid, u32 block_rows, u32 lane)
      : table_(table), grid_(grid), block_rows_(block_rows), lane_(lane), index_(blockIdx.x) {}

  // How many tiles there are for a CTA.
  __device__ static __forceinline__ u32 count(const GroupTable<kMaxGroups>& table,
                                              const TileGrid& grid) {
    const u32 all = __shfl_sync(0xFFFFFFFF, table.first_tile[grid.num_groups], 0);
    return all > blockIdx.x ? (all - 1 - blockIdx.x) / gridDim.x + 1 : 0;
  }

  // Returns the next tile; at most count() times.
  __device__ __forceinline__ GroupedTile next() {
    const u32 group = find_group();
    const RowRange rows = table_.ranges[group];
    const u32 num_m = (rows.end - rows.begin + block_rows_ - 1) / block_rows_;
    const TileIndex index =
        tile_in_group(index_ - table_.first_tile[group], num_m, grid_.num_n, grid_.raster_width);
    index_ += gridDim.x;
    return {rows.begin + index.m * block_rows_, rows.end, index.n, group};
  }

 private:
  // The number of groups that end at or before the tile: the first 32 of which one does not are
  // where it is, and no later tile is before.
  __device__ __forceinline__ u32 find_group() {
#pragma unroll 1
    for (; first_ < grid_.num_groups; first_ += 32) {
      const u32 group = min(first_ + lane_, grid_.num_groups - 1);
      const u32 ended = ptx::vote_ballot(index_ >= table_.first_tile[group + 1]);
      if (ended != ~0u) return first_ + __popc(ended);
    }
    return grid_.num_groups - 1;
  }

  const GroupTable<kMaxGroups>& table_;
  const TileGrid& grid_;
  u32 block_rows_;
  u32 lane_;
  u32 index_;
  u32 first_ = 0;
};

}  // namespace jdg
