// Which tile of which group a cluster works on next, where groups differ in K.
#pragma once

#include "common/tile_scheduler.cuh"

namespace jdg {

// The K blocks of one group; groups lie one after the other along K.
struct KGroup {
  u32 group;
  u32 first_k_block;
  u32 num_k_blocks;
};

struct KGroupedTile : TileIndex {
  u32 first_k_block;
  u32 num_k_blocks;
};

// The groups in the order in which they are worked on, made by each CTA for itself.
template <int kMaxGroups>
struct KGroupTable {
  u32 num_worked;  // Groups that have tiles: the first of `order`.
  u32 sizes[kMaxGroups];
  KGroup order[kMaxGroups];
};

// Walks the tiles of `order`, largest groups first. Every other round goes through the clusters
// backwards: what a cluster gets more of in one round it gets less of in the next, so that in the
// end no cluster has more than one tile's work above another.
class KGroupedScheduler {
 public:
  __device__ __forceinline__ KGroupedScheduler(const TileGrid& grid, const KGroup* order,
                                               u32 num_groups, u32 cluster, u32 num_clusters)
      : grid_(grid),
        order_(order),
        index_(cluster),
        step_(2 * (num_clusters - cluster) - 1),
        both_steps_(2 * num_clusters),
        num_tiles_(grid.num_m * grid.num_n * num_groups) {}

  __device__ __forceinline__ bool valid() const { return index_ < num_tiles_; }

  __device__ __forceinline__ void advance() {
    index_ += step_;
    step_ = both_steps_ - step_;
  }

  // All zeros after the last tile.
  __device__ __forceinline__ KGroupedTile tile() const {
    if (!valid()) return {};
    const TileIndex tile = TileScheduler(grid_, index_, 1).tile();
    const KGroup& k = order_[tile.group];
    return {{tile.m, tile.n, k.group}, k.first_k_block, k.num_k_blocks};
  }

 private:
  const TileGrid& grid_;
  const KGroup* order_;
  u32 index_;
  u32 step_;
  u32 both_steps_;
  u32 num_tiles_;
};

}  // namespace jdg
