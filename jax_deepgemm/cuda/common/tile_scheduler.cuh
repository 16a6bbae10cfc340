// Which output tile a cluster works on next: a static, persistent walk over all tiles.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

// The tiles of one launch; the same in every thread.
struct TileGrid {
  u32 num_m;         // Tiles along M, counted in clusters.
  u32 num_n;         // Tiles along N.
  u32 num_groups;    // Independent products.
  u32 raster_width;  // Tiles along M that are walked before the next tile along N.
};

struct TileIndex {
  u32 m;
  u32 n;
  u32 group;
};

// Tile `index` of num_m x num_n. The order goes down a strip of `raster_width` tiles of M before it
// steps along N: tiles in flight at one time then share few rows of A and B, which stay in L2.
__device__ __forceinline__ TileIndex tile_in_group(u32 index, u32 num_m, u32 num_n,
                                                   u32 raster_width) {
  const u32 tiles_per_strip = raster_width * num_n;
  const u32 strip = index / tiles_per_strip;
  const u32 in_strip = index - strip * tiles_per_strip;
  const u32 first_m = strip * raster_width;
  const u32 width = min(raster_width, num_m - first_m);
  const u32 n = in_strip / width;
  return {first_m + in_strip - n * width, n, 0};
}

// Walks tiles `cluster`, `cluster + num_clusters`, ... of all groups.
class TileScheduler {
 public:
  __device__ __forceinline__ TileScheduler(const TileGrid& grid, u32 cluster, u32 num_clusters)
      : grid_(grid),
        index_(cluster),
        step_(num_clusters),
        tiles_per_group_(grid.num_m * grid.num_n),
        num_tiles_(tiles_per_group_ * grid.num_groups) {}

  __device__ __forceinline__ bool valid() const { return index_ < num_tiles_; }

  __device__ __forceinline__ void advance() { index_ += step_; }

  __device__ __forceinline__ TileIndex tile() const {
    const u32 group = grid_.num_groups == 1 ? 0 : index_ / tiles_per_group_;
    TileIndex tile = tile_in_group(index_ - group * tiles_per_group_, grid_.num_m, grid_.num_n,
                                   grid_.raster_width);
    tile.group = group;
    return tile;
  }

 private:
  const TileGrid& grid_;
  u32 index_;
  u32 step_;
  u32 tiles_per_group_;
  u32 num_tiles_;
};

}  // namespace jdg
