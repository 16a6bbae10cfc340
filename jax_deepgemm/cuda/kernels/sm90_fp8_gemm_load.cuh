// The loading roles of the Hopper FP8 GEMM.
#pragma once

#include "kernels/sm90_fp8_gemm_types.cuh"

namespace jdg {

template <Sm90Fp8GemmConfig kConfig, typename Work = DenseWork>
struct Sm90Fp8GemmLoad {
  using Traits = Sm90Fp8GemmTraits<kConfig, Work>;
  using Params = typename Work::Params;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Ring = typename Traits::Ring;

  // Fetches the descriptors, which otherwise delays the first load of each.
  __device__ static __forceinline__ void prefetch_maps(const Params& params) {
    ptx::prefetch_tensor_map(params.a);
    if constexpr (Traits::kLoadsRest) ptx::prefetch_tensor_map(params.a_rest);
    ptx::prefetch_tensor_map(params.b);
    ptx::prefetch_tensor_map(params.sfa);
    if constexpr (kConfig.sfb_per_row) ptx::prefetch_tensor_map(params.sfb);
    ptx::prefetch_tensor_map(params.d);
    if constexpr (Traits::kGroupsRows) ptx::prefetch_tensor_map(params.a_slab);
    if constexpr (Traits::kShares) {
      ptx::prefetch_tensor_map(params.b_rest);
      ptx::prefetch_tensor_map(params.d_rest);
    }
  }

  // Streams A, B and per-row scales of every tile; one thread.
  __device__ static __forceinline__ void tiles(const Params& params, Smem& smem) {
    Ring ring(smem.stages);
    const u32 rank = Traits::cta_rank();
    for (auto tiles = Traits::scheduler(params, smem); tiles.valid(); tiles.advance()) {
      const typename Traits::Tile tile = tiles.tile();
      const u32 row = Traits::first_row(tile, rank);
      const typename Traits::Columns columns = Traits::columns(tile, rank);
      const u32 live_slabs = Traits::num_live_slabs(tile, row);
      const u32 row_group = Work::operand_group(Traits::row_group(tile));
      const u32 group = Work::operand_group(tile.group);
      const u32 first = Work::first_k_block(tile);
      const u32 end = first + Work::num_k_blocks(params, tile);
#pragma unroll 1
      for (u32 k_block = first; k_block < end; k_block += kConfig.stage_k_blocks) {
        Stage& stage = ring.stage();
        wait(stage.empty, ring.parity() ^ 1);
        if (Traits::loads_all_rows(params, row) && live_slabs >= Traits::kBlockM / 64) {
          ptx::mbarrier_arrive_expect_tx(stage.full, Traits::kTransactionBytes);
          operand<(kConfig.cluster_n > 1)>(stage.a, params.a, params.cut.a, params, stage.full, row,
                                           k_block, row_group, rank);
        } else if constexpr (Traits::kGroupsRows) {
          live_rows(params, stage, row, k_block, live_slabs, rank);
        } else {
          rest(params, stage, row, k_block, row_group, rank);
        }
        if constexpr (Traits::kDecodes) {
          codes(stage, params.b, columns.main, k_block, group, rank);
        } else {
          operand<(kConfig.cluster_m > 1)>(stage.b, params.b, params.cut.b, params, stage.full,
                                           columns.main, k_block, group, rank);
        }
        if constexpr (Traits::kShares) {
          constexpr bool kShared = kConfig.cluster_m > 1;
          if (!kShared || is_turn(k_block, rank)) {
            box<kShared>(stage.b[0] + Traits::Columns::kMain * kBlockK, params.b_rest, stage.full,
                         columns.rest, k_block, group);
          }
        }
        ptx::tma_load(stage.sfa, params.sfa, stage.full, row - Traits::scale_shift(row), k_block,
                      row_group);
        if constexpr (kConfig.sfb_per_row) {
          ptx::tma_load(stage.sfb, params.sfb, stage.full, columns.main, k_block, group);
        }
        ring.advance();
      }
    }
    ptx::launch_next_kernel();
  }

  // Streams the one or two scales of B that a tile needs per K block. The copies are asynchronous:
  // only the math warps wait for them, with the rest of the stage.
  __device__ static __forceinline__ void scales(const Params& params, Smem& smem, u32 lane) {
    if (static_cast<int>(lane) >= Traits::kScaleLanes) return;
    const u32 block = lane / 2;
    const u32 neighbour = lane % 2;
    const u32 rank = Traits::cta_rank();
    Ring ring(smem.stages);
    for (auto tiles = Traits::scheduler(params, smem); tiles.valid(); tiles.advance()) {
      const typename Traits::Tile tile = tiles.tile();
      const typename Traits::Columns columns = Traits::columns(tile, rank);
      const u32 second_row = Traits::kShares ? columns.rest / 128 : columns.main / 128 + 1;
      const u32 row = min(neighbour ? second_row : columns.main / 128, params.sfb_rows - 1);
      const u64 line = static_cast<u64>(tile.group) * params.sfb_rows + row;
      const float* scales = params.sfb_blocks + line * params.num_k_blocks;
#pragma unroll 1
      for (u32 first = 0; first < params.num_k_blocks; first += kConfig.stage_k_blocks) {
        const u32 k_block = first + block;
        const bool valid = k_block < params.num_k_blocks;
        Stage& stage = ring.stage();
        wait(stage.empty, ring.parity() ^ 1);
        ptx::cp_async_4(&stage.sfb[block][neighbour], scales + (valid ? k_block : 0), valid);
        ptx::cp_async_arrive(stage.full);
        ring.advance();
      }
    }
  }

 private:
  // Loads the slabs of a tile that have rows of its group, and expects so many bytes less.
  __device__ static __forceinline__ void live_rows(const Params& params, Stage& stage, u32 row,
                                                   u32 k_block, u32 live_slabs, u32 rank) {
    constexpr u32 kNumSlabs = Traits::kBlockM / 64;
    constexpr bool kShared = kConfig.cluster_n > 1;
    ptx::mbarrier_arrive_expect_tx(
        stage.full, Traits::kTransactionBytes -
                        (kNumSlabs - live_slabs) * kConfig.stage_k_blocks * Traits::kSlabBytes);
    if (kShared && !is_turn(k_block, rank)) return;
#pragma unroll 1
    for (u32 i = 0; i < live_slabs * kConfig.stage_k_blocks; ++i) {
      const u32 slab = i / kConfig.stage_k_blocks;
      const u32 block = i % kConfig.stage_k_blocks;
      u8* target = stage.a[block] + slab * Traits::kSlabBytes;
      box<kShared>(target, params.a_slab, stage.full, row + slab * 64, k_block + block, 0);
    }
  }

  // Loads the rows with which A ends, if there are any, a K block at a time, and expects so many
  // bytes less.
  __device__ static __forceinline__ void rest(const Params& params, Stage& stage, u32 row,
                                              u32 k_block, u32 group, u32 rank) {
    constexpr bool kShared = kConfig.cluster_n > 1;
    constexpr u32 kRowBytes = kConfig.stage_k_blocks * kBlockK;
    const u32 num_rows = rows_from(row, params.m);
    ptx::mbarrier_arrive_expect_tx(
        stage.full, Traits::kTransactionBytes - (kConfig.a_rows - num_rows) * kRowBytes);
    if (num_rows == 0 || (kShared && !is_turn(k_block, rank))) return;
#pragma unroll 1
    for (u32 i = 0; i < kConfig.stage_k_blocks; ++i) {
      send<kShared>(stage.a[i], params.a_rest, stage.full, (k_block + i) * kBlockK, row, group);
    }
  }

  // Whether it is for this CTA of the cluster to load what all of them need.
  __device__ static __forceinline__ bool is_turn(u32 k_block, u32 rank) {
    return k_block / kConfig.stage_k_blocks % kConfig.cluster_size() == rank;
  }

  // Loads K blocks of a tile's rows: in boxes of `map`, or in those of `cut` where K ends within a
  // block. The CTAs of a cluster take turns in loading what all of them need (kShared) for all of
  // them.
  template <bool kShared, int kBytes>
  __device__ static __forceinline__ void operand(u8 (&blocks)[kConfig.stage_k_blocks][kBytes],
                                                 const ptx::TensorMap* map,
                                                 const ptx::TensorMap* cut, const Params& params,
                                                 ptx::Mbarrier& full, u32 row, u32 k_block,
                                                 u32 group, u32 rank) {
    if (kShared && !is_turn(k_block, rank)) return;
    if constexpr (kConfig.stage_k_blocks > 1) {
      if (params.cut.lies_in(k_block, kConfig.stage_k_blocks)) {
#pragma unroll 1
        for (u32 i = 0; i < kConfig.stage_k_blocks; ++i) {
          send<kShared>(blocks[i], cut, full, (k_block + i) * kBlockK, row, group);
        }
        return;
      }
    }
    box<kShared>(blocks, map, full, row, k_block, group);
  }

  // Loads FP4 codes of a tile's rows of B to the second half of where they are to be decoded.
  __device__ static __forceinline__ void codes(Stage& stage, const ptx::TensorMap* map, u32 row,
                                               u32 k_block, u32 group, u32 rank) {
    constexpr u32 kBytes = kBlockK / 2;  // Of a row of codes.
    u8* target = stage.b[0] + Traits::kBlockN * kBytes;
    if constexpr (kConfig.cluster_m > 1) {
      constexpr u16 kAllCtas = (1 << kConfig.cluster_m) - 1;
      if (!is_turn(k_block, rank)) return;
      ptx::tma_load_multicast(target, map, stage.full, kAllCtas, k_block * kBytes, row, group);
    } else {
      ptx::tma_load(target, map, stage.full, k_block * kBytes, row, group);
    }
  }

  // Loads what a box of `map` holds, to all CTAs of the cluster if it is shared.
  template <bool kShared>
  __device__ static __forceinline__ void box(void* smem, const ptx::TensorMap* map,
                                             ptx::Mbarrier& full, u32 row, u32 k_block, u32 group) {
    if constexpr (kConfig.stage_k_blocks == 1) {
      send<kShared>(smem, map, full, k_block * kBlockK, row, group);
    } else {
      send<kShared>(smem, map, full, 0, row, k_block, group);
    }
  }

  template <bool kShared, typename... Coordinates>
  __device__ static __forceinline__ void send(void* smem, const ptx::TensorMap* map,
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
