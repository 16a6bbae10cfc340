// The loading role of the Hopper BF16 GEMM.
#pragma once

#include "kernels/sm90_bf16_gemm_types.cuh"

namespace jdg {

template <Sm90Bf16GemmConfig kConfig, typename Work = DenseBf16Work>
struct Sm90Bf16GemmLoad {
  using Traits = Sm90Bf16GemmTraits<kConfig, Work>;
  using Params = typename Traits::Params;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;

  // Fetches the descriptors, which otherwise delays the first load of each.
  __device__ static __forceinline__ void prefetch_maps(const Sm90Bf16GemmParams& params) {
    ptx::prefetch_tensor_map(params.a);
    if constexpr (Traits::kLoadsRest) ptx::prefetch_tensor_map(params.a_rest);
    ptx::prefetch_tensor_map(params.b);
    ptx::prefetch_tensor_map(params.d);
    if constexpr (Traits::kGroupsRows) ptx::prefetch_tensor_map(params.a_slab);
  }

  // Streams A and B of every tile; one thread.
  __device__ static __forceinline__ void tiles(const Params& params, Smem& smem) {
    Ring ring(smem.stages, smem.barriers);
    const u32 rank = Traits::cta_rank();
    for (auto tiles = Traits::scheduler(params, smem); tiles.valid(); tiles.advance()) {
      const typename Traits::Tile tile = tiles.tile();
      const u32 row = Traits::first_row(tile, rank);
      const u32 column = Traits::columns(tile, rank).main;
      const u32 live_slabs = Traits::num_live_slabs(tile, row);
      const u32 row_group = Work::operand_group(Traits::row_group(tile));
      const u32 first_k = Work::first_k(tile);
#pragma unroll 1
      for (u32 k_block = 0; k_block < Work::num_k_blocks(params, tile);
           k_block += kConfig.stage_k_blocks) {
        Stage& stage = ring.stage();
        ptx::Mbarrier& full = loaded(smem, ring, tile, k_block);
        wait(ring.barriers().empty, ring.parity() ^ 1);
        // The CTAs of a cluster take turns in loading what all of them need for all of them.
        const bool my_turn = k_block / kConfig.stage_k_blocks % kConfig.cluster_size() == rank;
        const bool loads_a = kConfig.cluster_n == 1 || my_turn;
        KPlace in_a = {row_group, k_block};
        KPlace in_b = {Work::operand_group(tile.group), k_block};
        if constexpr (Work::kBatchesK) in_a = in_b = Work::place(params, tile, k_block);
        if (Traits::loads_all_rows(params, row) && live_slabs >= Traits::kBlockM / 64) {
          ptx::mbarrier_arrive_expect_tx(full, Traits::kTransactionBytes);
          if (loads_a) {
            operand<kConfig.a_mn_major, kConfig.a_rows, (kConfig.cluster_n > 1)>(
                stage.a[0], params.a, params.cut, params.cut.a, full, row, first_k, in_a.k_block,
                in_a.group);
          }
        } else if constexpr (Traits::kGroupsRows) {
          constexpr u32 kBytes = kConfig.stage_k_blocks * Traits::kSlabBytes;
          const u32 missing = (Traits::kBlockM / 64 - live_slabs) * kBytes;
          ptx::mbarrier_arrive_expect_tx(full, Traits::kTransactionBytes - missing);
          if (loads_a) live_rows(params, stage, full, row, k_block, live_slabs);
        } else {
          constexpr u32 kRowBytes = kConfig.stage_k_blocks * kBf16LineBytes;
          const u32 num_rows = rows_from(row, params.m);
          const u32 missing = (kConfig.a_rows - num_rows) * kRowBytes;
          ptx::mbarrier_arrive_expect_tx(full, Traits::kTransactionBytes - missing);
          if (loads_a && num_rows > 0) rest(params, stage, full, row, in_a);
        }
        if (kConfig.cluster_m == 1 || my_turn) {
          operand<kConfig.b_mn_major, kConfig.block_n, (kConfig.cluster_m > 1)>(
              stage.b[0], params.b, params.cut, params.cut.b, full, column, first_k, in_b.k_block,
              in_b.group);
        }
        ring.advance();
      }
    }
    ptx::launch_next_kernel();
  }

 private:
  // Loads the slabs of a tile that have rows of its group.
  __device__ static __forceinline__ void live_rows(const Sm90Bf16GemmParams& params, Stage& stage,
                                                   ptx::Mbarrier& full, u32 row, u32 k_block,
                                                   u32 live_slabs) {
#pragma unroll 1
    for (u32 i = 0; i < live_slabs * kConfig.stage_k_blocks; ++i) {
      const u32 slab = i / kConfig.stage_k_blocks;
      const u32 block = i % kConfig.stage_k_blocks;
      box_of_blocks<(kConfig.cluster_n > 1)>(stage.a[block] + slab * Traits::kSlabBytes,
                                             params.a_slab, full, row + slab * 64, k_block + block,
                                             0);
    }
  }

  // Loads the rows with which A ends, a K block at a time.
  __device__ static __forceinline__ void rest(const Params& params, Stage& stage,
                                              ptx::Mbarrier& full, u32 row, KPlace place) {
#pragma unroll 1
    for (u32 i = 0; i < kConfig.stage_k_blocks; ++i) {
      box<(kConfig.cluster_n > 1)>(stage.a[i], params.a_rest, full,
                                   (place.k_block + i) * kBf16BlockK, row, place.group);
    }
  }

  // The barrier that TMA completes: `full`, unless the block is to be cut before it is.
  __device__ static __forceinline__ ptx::Mbarrier& loaded(Smem& smem, const Ring& ring,
                                                          const typename Traits::Tile& tile,
                                                          u32 k_block) {
    if constexpr (Work::kCutsK) {
      if (Work::is_cut(tile, k_block)) return smem.uncut[ring.index()];
    }
    return ring.barriers().full;
  }

  // Loads a stage's K blocks of kRows rows; block 0 begins at `first_k`, which is 0 if K-major. In
  // boxes of `cut_map` if K-major and K ends within a block of them.
  template <bool kMnMajor, int kRows, bool kShared>
  __device__ static __forceinline__ void operand(u8* smem, const ptx::TensorMap* map,
                                                 const KCut& cut, const ptx::TensorMap* cut_map,
                                                 ptx::Mbarrier& full, u32 row, u32 first_k,
                                                 u32 k_block, u32 group) {
    if constexpr (kMnMajor) {
#pragma unroll
      for (int block = 0; block < kConfig.stage_k_blocks; ++block) {
#pragma unroll
        for (int atom = 0; atom < kRows / kBf16AtomRows; ++atom) {
          u8* target = smem + block * kRows * kBf16LineBytes + atom * kBf16AtomBytes;
          box<kShared>(target, map, full, row + atom * kBf16AtomRows,
                       first_k + (k_block + block) * kBf16BlockK, group);
        }
      }
    } else if (kConfig.stage_k_blocks > 1 && cut.lies_in(k_block, kConfig.stage_k_blocks)) {
#pragma unroll 1
      for (u32 block = 0; block < kConfig.stage_k_blocks; ++block) {
        box<kShared>(smem + block * kRows * kBf16LineBytes, cut_map, full,
                     (k_block + block) * kBf16BlockK, row, group);
      }
    } else {
      box_of_blocks<kShared>(smem, map, full, row, k_block, group);
    }
  }

  // Loads a K-major box that may have several K blocks.
  template <bool kShared>
  __device__ static __forceinline__ void box_of_blocks(u8* smem, const ptx::TensorMap* map,
                                                       ptx::Mbarrier& full, u32 row, u32 k_block,
                                                       u32 group) {
    if constexpr (kConfig.stage_k_blocks == 1) {
      box<kShared>(smem, map, full, k_block * kBf16BlockK, row, group);
    } else {
      box<kShared>(smem, map, full, 0, row, k_block, group);
    }
  }

  template <bool kShared, typename... Coordinates>
  __device__ static __forceinline__ void box(void* smem, const ptx::TensorMap* map,
                                             ptx::Mbarrier& full, Coordinates... coordinates) {
    constexpr u16 kAllCtas = (1 << kConfig.cluster_size()) - 1;
    if constexpr (kShared) {
      ptx::tma_load_multicast(smem, map, full, kAllCtas, coordinates...);
    } else {
      ptx::tma_load(smem, map, full, coordinates...);
    }
  }
};

}  // namespace jdg
