// How a math warp of the Hopper BF16 GEMM reads C and stores a tile.
//
// Results wait in registers of their own, so nothing has to be out of the way before the next
// tile's products begin: all of the tile is written behind its first two stages.
//
// Where each row of D has an address of its own, a warp copies the rows of a box.
#pragma once

#include "common/row_store.cuh"
#include "common/scatter_rows.cuh"
#include "kernels/sm90_bf16_gemm_types.cuh"
#include "ptx/tma_add.cuh"

namespace jdg {

template <Sm90Bf16GemmConfig kConfig, typename Work = DenseBf16Work>
class Sm90Bf16GemmStore {
 public:
  using Traits = Sm90Bf16GemmTraits<kConfig, Work>;
  using Boxes = typename Traits::Boxes;
  using Results = typename Traits::Results;
  using Result = typename Traits::Result::Value[Traits::Result::kCount];

  // Boxes of at most 128 bytes a row, slab after slab, and where the second half of them begins.
  static constexpr int kNumBoxes = kConfig.num_slabs * Boxes::kCount;
  static constexpr int kMiddle = ceil_div(kNumBoxes, 2);
  static_assert(!Traits::kAddsInMemory || Boxes::kCount * Boxes::kMainColumns == kConfig.block_n,
                "columns that two boxes have would be added twice");

  // With where the lane's row of each slab goes.
  struct ScatteredTile : Traits::Tile {
    u64 targets[kConfig.num_slabs];
  };
  // What is to be known of a tile to store it. The plain one where rows are not scattered: given an
  // empty member more, ptxas makes other programs of dense products, ones that were not measured.
  using Tile = Conditional<kConfig.scatters_rows, ScatteredTile, typename Traits::Tile>;

  __device__ __forceinline__ Sm90Bf16GemmStore(const Sm90Bf16GemmParams& params,
                                               typename Traits::Smem& smem, const Tile& tile,
                                               u32 warp, u32 lane)
      : params_(params),
        slots_(smem.store + warp * Traits::kWarpStoreBytes),
        columns_(Traits::columns(tile, Traits::cta_rank())),
        row_(Traits::first_row(tile, Traits::cta_rank()) + Traits::slab_row(warp, 0) +
             warp % 4 * 16),
        group_(Traits::row_group(tile)),
        lane_(lane) {
    if constexpr (Traits::kGroupsRows) end_ = tile.end;
    if constexpr (kConfig.scatters_rows) {
#pragma unroll
      for (int slab = 0; slab < kConfig.num_slabs; ++slab) targets_[slab] = tile.targets[slab];
    }
  }

  // To be called when a tile begins: memory is slow, and its store needs addresses at once.
  __device__ static __forceinline__ Tile stored_tile(const Sm90Bf16GemmParams& params,
                                                     const typename Traits::Tile& tile, u32 warp,
                                                     u32 lane) {
    if constexpr (kConfig.scatters_rows) {
      Tile stored = {tile, {}};
      const u64* addresses = reinterpret_cast<const u64*>(params.d_rows.first);
#pragma unroll
      for (int slab = 0; slab < kConfig.num_slabs; ++slab) {
        const u32 row = Traits::first_row(tile, Traits::cta_rank()) + Traits::slab_row(warp, slab);
        stored.targets[slab] = address_of_lane(addresses, row + warp % 4 * 16, tile.end, lane);
      }
      return stored;
    } else {
      return tile;
    }
  }

  __device__ __forceinline__ void first_half(const Results& results) const {
    boxes<0, kMiddle>(results);
  }

  __device__ __forceinline__ void second_half(const Results& results) const {
    boxes<kMiddle, kNumBoxes>(results);
  }

  // Reads the tile's part of C.
  __device__ __forceinline__ void load_c(Results& results) const {
    using Element = typename ElementType<kConfig.float32_out>::Type;
    const u64 first = static_cast<u64>(group_) * params_.m * params_.pitch;
#pragma unroll
    for (int slab = 0; slab < kConfig.num_slabs; ++slab) {
      load_tile<kConfig.block_n>(results[slab], static_cast<const Element*>(params_.c) + first,
                                 row_ + slab * 64, columns_.main, params_.m, params_.pitch, lane_);
    }
  }

 private:
  template <int kBox, int kEnd>
  __device__ __forceinline__ void boxes(const Results& results) const {
    if constexpr (kBox < kEnd) {
      constexpr int kSlab = kBox / Boxes::kCount;
      if constexpr (kConfig.scatters_rows) {
        if (row_ + kSlab * 64 < end_) copy_box<kBox>(results[kSlab]);
      } else if (is_whole(kSlab)) {
        send_box<kBox>(results[kSlab]);
      } else {
        write_rows<kBox % Boxes::kCount>(kSlab, results[kSlab]);
        // A group of nothing: staging buffers are awaited by counting groups.
        if (lane_ == 0) ptx::tma_store_commit();
      }
      boxes<kBox + 1, kEnd>(results);
    }
  }

  // Whether all of the warp's rows in `slab` belong to the tile's group.
  __device__ __forceinline__ bool is_whole(int slab) const {
    return !Traits::kGroupsRows || row_ + slab * 64 + kStoreRows <= end_;
  }

  // Writes the rows of the group straight to D: a box would reach into the next one's rows.
  template <int kBox>
  __device__ __forceinline__ void write_rows(int slab, const Result& result) const {
    if constexpr (Traits::kGroupsRows) {
      constexpr int kFirst = Boxes::first_column(kBox);
      const u32 row = row_ + slab * 64;
      if (row >= end_) return;
      using Element = typename ElementType<kConfig.float32_out>::Type;
      const ColumnTarget<Element> target = {reinterpret_cast<Element*>(params_.d_rows.first),
                                            params_.pitch, columns_[kFirst]};
      constexpr int kRegisters = kPairRegisters<typename Traits::Result::Value>;
      store_rows<Boxes::columns(kBox)>(&result[kFirst / 4 * kRegisters], target, row, end_, lane_);
    }
  }

  // Takes the rows of the group to their addresses.
  template <int kBox>
  __device__ __forceinline__ void copy_box(const Result& result) const {
    constexpr int kInSlab = kBox % Boxes::kCount;
    u8* slot = slots_ + kBox % kConfig.num_store_slots * Boxes::kMainBytes;
    __syncwarp();  // The box before has left it.
    write_result<Boxes, kInSlab>(result, slot, lane_);
    __syncwarp();
    scatter_box<Boxes::columns(kInSlab)>(slot, targets_[kBox / Boxes::kCount],
                                         columns_[Boxes::first_column(kInSlab)], params_.pitch,
                                         lane_);
  }

  template <int kBox>
  __device__ __forceinline__ void send_box(const Result& result) const {
    constexpr int kSlab = kBox / Boxes::kCount;
    constexpr int kInSlab = kBox % Boxes::kCount;
    u8* slot = slots_ + kBox % kConfig.num_store_slots * Boxes::kMainBytes;
    // The store that had this buffer has read it; those of other buffers may go on.
    if (lane_ == 0) ptx::tma_store_wait_read<kPending>();
    __syncwarp();
    write_result<Boxes, kInSlab>(result, slot, lane_);
    ptx::fence_proxy_async();
    __syncwarp();
    if (lane_ == 0) {
      const u32 column = columns_[Boxes::first_column(kInSlab)];
      const u32 row = row_ + kSlab * 64;
      if constexpr (Traits::kAddsInMemory) {
        ptx::tma_store_add(params_.d, slot, column, row, group_);
      } else {
        ptx::tma_store(params_.d, slot, column, row, group_);
      }
      ptx::tma_store_commit();
    }
  }

  // Buffers are used in turn, and also from one tile to the next only if they divide the boxes.
  static constexpr int kPending =
      kNumBoxes % kConfig.num_store_slots == 0 ? kConfig.num_store_slots - 1 : 0;

  const Sm90Bf16GemmParams& params_;
  u8* slots_;
  typename Traits::Columns columns_;
  u32 row_;  // Of D: the warp's first in slab 0.
  u32 group_;
  u32 end_ = 0;  // Of the rows of D that are the group's; if Traits::kGroupsRows.
  u32 lane_;
  u64 targets_[kConfig.scatters_rows ? kConfig.num_slabs : 1];  // If scatters_rows.
};

}  // namespace jdg
