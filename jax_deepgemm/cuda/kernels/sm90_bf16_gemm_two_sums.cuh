// The math warps of the Hopper BF16 GEMM with the sums of two tiles in registers.
//
// The next tile's products go to the other set of sums, so they are started while the last ones of
// a tile still run: the tensor cores do not wait until sums are rounded. Boxes of the finished tile
// are rounded and stored one after the other, each behind a stage of the next tile. Registers allow
// that for tiles of up to 128 x 192.
#pragma once

#include "ptx/sync.cuh"
#include "ptx/tma.cuh"
#include "ptx/types.cuh"
#include "ptx/wgmma.cuh"

namespace jdg {

// `Kernel` is a Sm90Bf16Gemm.
template <typename Kernel>
class Sm90Bf16GemmTwoSums {
 public:
  using Traits = typename Kernel::Traits;
  using Store = typename Kernel::Store;
  using Smem = typename Kernel::Smem;
  using Ring = typename Kernel::Ring;
  using Sums = typename Traits::Sums;
  using Tile = typename Traits::Tile;
  static constexpr int kNumSlabs = Kernel::kNumSlabs;
  static_assert(!Traits::kGroupsRows, "every tile is multiplied as a whole");

  template <typename Params>
  __device__ static __forceinline__ void multiply_tiles(const Params& params, Smem& smem, u32 warp,
                                                        u32 lane) {
    Ring ring(smem.stages, smem.barriers);
    auto tiles = Traits::scheduler(params, smem);
    if (!tiles.valid()) return;
    Sums even;
    Sums odd;
    Tile finished = tiles.tile();  // Its last stage is the ring's.
    Kernel::template start_stage<kNumSlabs, true>(ring, warp, even);
    add_stages(params, ring, warp, lane, even, Kernel::kStageKBlocks);
    while (true) {
      tiles.advance();
      const Store store_even(params, smem, finished, warp, lane);
      if (!tiles.valid()) return finish(store_even, even, lane);
      finished = tiles.tile();
      multiply_tile(params, ring, warp, lane, odd, even, store_even);
      tiles.advance();
      const Store store_odd(params, smem, finished, warp, lane);
      if (!tiles.valid()) return finish(store_odd, odd, lane);
      finished = tiles.tile();
      multiply_tile(params, ring, warp, lane, even, odd, store_odd);
    }
  }

 private:
  // Adds all stages of a tile, and stores the tile before, whose sums are `other`. The last stage
  // is left in flight, as that of the tile before is now.
  template <typename Params>
  __device__ static __forceinline__ void multiply_tile(const Params& params, Ring& ring, u32 warp,
                                                       u32 lane, Sums& sum, Sums& other,
                                                       const Store& store) {
    auto& last = ring.barriers();
    ring.advance();
    Kernel::template start_stage<kNumSlabs, true>(ring, warp, sum);
    ptx::wgmma_wait<1>();
    fence(other);
    Kernel::release(last, lane);
    u32 k_block = Kernel::kStageKBlocks;
    store_boxes<0>(params, ring, warp, lane, sum, other, store, k_block);
    add_stages(params, ring, warp, lane, sum, k_block);
  }

  // Stores boxes kBox, kBox + 1, ... and adds a stage behind each, as long as there are any.
  template <int kBox, typename Params>
  __device__ static __forceinline__ void store_boxes(const Params& params, Ring& ring, u32 warp,
                                                     u32 lane, Sums& sum, const Sums& other,
                                                     const Store& store, u32& k_block) {
    if constexpr (kBox < Store::kNumBoxes) {
      store.template round_box<kBox>(other);
      if (k_block < params.num_k_blocks) {
        Kernel::template add_stage<kNumSlabs>(ring, warp, lane, sum);
        k_block += Kernel::kStageKBlocks;
      }
      store_boxes<kBox + 1>(params, ring, warp, lane, sum, other, store, k_block);
    }
  }

  // Adds the stages from block `k_block` of K on.
  template <typename Params>
  __device__ static __forceinline__ void add_stages(const Params& params, Ring& ring, u32 warp,
                                                    u32 lane, Sums& sum, u32 k_block) {
#pragma unroll 1
    for (; k_block < params.num_k_blocks; k_block += Kernel::kStageKBlocks) {
      Kernel::template add_stage<kNumSlabs>(ring, warp, lane, sum);
    }
  }

  // Stores the last tile. Nobody waits for its last stage.
  __device__ static __forceinline__ void finish(const Store& store, Sums& sum, u32 lane) {
    ptx::wgmma_wait<0>();
    fence(sum);
    finish_boxes<0>(store, sum);
    // The shared memory must outlive the stores that read it.
    if (lane == 0) ptx::tma_store_wait_read();
  }

  template <int kBox>
  __device__ static __forceinline__ void finish_boxes(const Store& store, const Sums& sum) {
    if constexpr (kBox < Store::kNumBoxes) {
      store.template round_box<kBox>(sum);
      finish_boxes<kBox + 1>(store, sum);
    }
  }

  __device__ static __forceinline__ void fence(Sums& sum) {
#pragma unroll
    for (int slab = 0; slab < kNumSlabs; ++slab) ptx::fence_registers(sum[slab]);
  }
};

}  // namespace jdg
