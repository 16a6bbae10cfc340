// How the math warps of the Hopper FP8 GEMM store a tile while they begin the next.
//
// A warp's rows of a tile are boxes of at most 128 bytes a row, slab after slab. While the tensor
// cores work they leave shared memory a quarter of its bandwidth, so that one block of K has room
// for about half of a tile: the first boxes are written before it, the others behind it.
//
// Where each row of D has an address of its own, a warp copies the rows of a box.
#pragma once

#include "common/accumulate.cuh"
#include "common/row_store.cuh"
#include "common/scatter_rows.cuh"
#include "kernels/sm90_fp8_gemm_types.cuh"
#include "ptx/tma_add.cuh"

namespace jdg {

template <Sm90Fp8GemmConfig kConfig, typename Work = DenseWork>
class Sm90Fp8GemmStore {
 public:
  using Traits = Sm90Fp8GemmTraits<kConfig, Work>;
  using Boxes = typename Traits::Boxes;
  using Sums = typename Traits::Sums;

  // The boxes of slab 0 must be out of its sums when its first block of K is done, those of slab 1
  // one block later: half of them are written behind the block of slab 0, half behind their own.
  static constexpr int kNumBoxes = kConfig.num_slabs * Boxes::kCount;
  static constexpr int kNumEarly = kConfig.num_early_boxes;
  static constexpr int kMiddle =
      kConfig.num_slabs == 1 ? kNumBoxes : Boxes::kCount + Boxes::kCount / 2;
  static_assert(kNumEarly <= kConfig.num_store_slots && kNumEarly <= kMiddle,
                "boxes that are written at one time need a staging buffer each");
  // C is in D's memory. Only float32 sums may be rounded before it is added.
  static constexpr bool kAddsInMemory = kConfig.with_c && kConfig.float32_out;
  static_assert(!kAddsInMemory || Traits::Columns::kMain % Boxes::kMainColumns == 0,
                "columns that two boxes have would be added twice");

  // Where the lane's row of each slab of a tile goes; if scatters_rows.
  struct Targets {
    u64 slabs[kConfig.scatters_rows ? kConfig.num_slabs : 1];
  };

  __device__ __forceinline__ Sm90Fp8GemmStore(const Sm90Fp8GemmParams& params,
                                              typename Traits::Smem& smem,
                                              const typename Traits::Tile& tile,
                                              const Targets& targets, u32 warp, u32 lane)
      : params_(params),
        slots_(smem.store + warp * Traits::kMainSlotBytes),
        rest_slots_(smem.store + Traits::kNumMathWarps * Traits::kMainSlotBytes +
                    warp * Traits::kRestSlotBytes),
        columns_(Traits::columns(tile, Traits::cta_rank())),
        row_(first_row(tile, warp)),
        group_(Traits::row_group(tile)),
        lane_(lane),
        targets_(targets) {
    if constexpr (Traits::kGroupsRows) end_ = tile.end;
  }

  // To be called when a tile begins: memory is slow, and its store needs them at once.
  __device__ static __forceinline__ Targets targets_of(const Sm90Fp8GemmParams& params,
                                                       const typename Traits::Tile& tile, u32 warp,
                                                       u32 lane) {
    Targets targets;
    if constexpr (kConfig.scatters_rows) {
      const u64* addresses = reinterpret_cast<const u64*>(params.d_rows.first);
      const u32 row = first_row(tile, warp);
#pragma unroll
      for (int slab = 0; slab < kConfig.num_slabs; ++slab) {
        targets.slabs[slab] = address_of_lane(addresses, row + slab * 64, tile.end, lane);
      }
    }
    return targets;
  }

  // Fills the staging buffers with the first boxes; the tensor cores had better rest.
  __device__ __forceinline__ void begin(Sums& sum) const {
    await_slots();
    write<0, kNumEarly>(sum);
  }

  // What is to be done behind the first block of K of `slab`.
  __device__ __forceinline__ void go_on(int slab, Sums& sum) const {
    if (slab == 0) {
      send<0, kNumEarly>();
      write_and_send<kNumEarly, kMiddle>(sum);
    } else {
      write_and_send<kMiddle, kNumBoxes>(sum);
    }
  }

 private:
  // Of D: the warp's first in slab 0.
  __device__ static __forceinline__ u32 first_row(const typename Traits::Tile& tile, u32 warp) {
    return Traits::first_row(tile, Traits::cta_rank()) + Traits::slab_row(warp, 0) + warp % 4 * 16;
  }

  // Returns when all stores before have read their staging buffers.
  __device__ __forceinline__ void await_slots() const {
    if (lane_ == 0 && !kConfig.scatters_rows) ptx::tma_store_wait_read();
    __syncwarp();
  }

  // Boxes of main columns take turns in the slots; the small ones of the rest have one each.
  template <int kBox>
  __device__ __forceinline__ u8* slot() const {
    constexpr int kSlab = kBox / Boxes::kCount;
    constexpr int kInSlab = kBox % Boxes::kCount;
    if constexpr (Boxes::in_rest(kInSlab)) {
      constexpr int kRestBox = kSlab * Boxes::kRestCount + kInSlab - Boxes::kMainCount;
      return rest_slots_ + kRestBox * Boxes::kRestBytes;
    } else {
      return slots_ + turn(kBox) * Boxes::kMainBytes;
    }
  }

  __device__ static constexpr int turn(int box) {
    const int main_box = box / Boxes::kCount * Boxes::kMainCount + box % Boxes::kCount;
    return main_box % kConfig.num_store_slots;
  }

  template <int kBox, int kEnd>
  __device__ __forceinline__ void write(Sums& sum) const {
    if constexpr (kBox < kEnd) {
      constexpr int kSlab = kBox / Boxes::kCount;
      constexpr int kInSlab = kBox % Boxes::kCount;
      if constexpr (kConfig.with_c && !kAddsInMemory && kInSlab == 0) add_c(kSlab, sum[kSlab]);
      if (is_whole(kSlab)) {
        write_box<Boxes, kInSlab>(sum[kSlab], slot<kBox>(), lane_);
      } else {
        write_rows<kInSlab>(kSlab, sum[kSlab]);
      }
      write<kBox + 1, kEnd>(sum);
    }
  }

  // Whether all of the warp's rows in `slab` belong to the tile's group.
  __device__ __forceinline__ bool is_whole(int slab) const {
    if constexpr (!Traits::kGroupsRows || kConfig.scatters_rows) return true;
    return row_ + slab * 64 + kStoreRows <= end_;
  }

  // Writes the rows of the group straight to D: a box would reach into the next one's rows.
  template <int kBox>
  __device__ __forceinline__ void write_rows(int slab,
                                             const float (&sum)[Traits::kAccumulators]) const {
    if constexpr (Traits::kGroupsRows) {
      constexpr int kFirst = Boxes::first_column(kBox);
      const u32 row = row_ + slab * 64;
      if (row >= end_) return;
      using Element = typename ElementType<kConfig.float32_out>::Type;
      const ColumnTarget<Element> target = {reinterpret_cast<Element*>(params_.d_rows.first),
                                            params_.pitch, columns_[kFirst]};
      store_rows<Boxes::columns(kBox)>(&sum[kFirst / 2], target, row, end_, lane_);
    }
  }

  // Hands written boxes to TMA.
  template <int kBox, int kEnd>
  __device__ __forceinline__ void send() const {
    if constexpr (kConfig.scatters_rows) {
      __syncwarp();
      copy_boxes<kBox, kEnd>();
      return;
    }
    ptx::fence_proxy_async();
    __syncwarp();
    if (lane_ == 0) {
      send_boxes<kBox, kEnd>();
      ptx::tma_store_commit();
    }
  }

  template <int kBox, int kEnd>
  __device__ __forceinline__ void copy_boxes() const {
    if constexpr (kBox < kEnd) {
      constexpr int kInSlab = kBox % Boxes::kCount;
      scatter_box<Boxes::columns(kInSlab)>(slot<kBox>(), targets_.slabs[kBox / Boxes::kCount],
                                           columns_[Boxes::first_column(kInSlab)], params_.pitch,
                                           lane_);
      copy_boxes<kBox + 1, kEnd>();
    }
  }

  template <int kBox, int kEnd>
  __device__ __forceinline__ void send_boxes() const {
    if constexpr (kBox < kEnd) {
      constexpr int kInSlab = kBox % Boxes::kCount;
      const ptx::TensorMap* map = Boxes::in_rest(kInSlab) ? params_.d_rest : params_.d;
      if (is_whole(kBox / Boxes::kCount)) {
        const u32 column = columns_[Boxes::first_column(kInSlab)];
        const u32 row = row_ + kBox / Boxes::kCount * 64;
        if constexpr (kAddsInMemory) {
          ptx::tma_store_add(map, slot<kBox>(), column, row, group_);
        } else {
          ptx::tma_store(map, slot<kBox>(), column, row, group_);
        }
      }
      send_boxes<kBox + 1, kEnd>();
    }
  }

  template <int kBox, int kEnd>
  __device__ __forceinline__ void write_and_send(Sums& sum) const {
    if constexpr (kBox < kEnd) {
      constexpr bool kMainBox = !Boxes::in_rest(kBox % Boxes::kCount);
      if constexpr (kBox > 0 && kMainBox && turn(kBox) == 0) await_slots();
      write<kBox, kBox + 1>(sum);
      send<kBox, kBox + 1>();
      write_and_send<kBox + 1, kEnd>(sum);
    }
  }

  __device__ __forceinline__ void add_c(int slab, float (&sum)[Traits::kAccumulators]) const {
    using Element = typename ElementType<kConfig.float32_out>::Type;
    const u64 first = static_cast<u64>(group_) * params_.m * params_.pitch;
    add_tile(sum, static_cast<const Element*>(params_.c) + first, row_ + slab * 64, columns_,
             params_.m, params_.pitch, lane_);
  }

  const Sm90Fp8GemmParams& params_;
  u8* slots_;
  u8* rest_slots_;
  typename Traits::Columns columns_;
  u32 row_;  // Of D: the warp's first in slab 0.
  u32 group_;
  u32 end_ = 0;  // Of the rows of D that are the group's; if Traits::kGroupsRows.
  u32 lane_;
  const Targets& targets_;
};

}  // namespace jdg
