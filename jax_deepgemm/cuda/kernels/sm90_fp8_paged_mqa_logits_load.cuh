// The loading role of the Hopper paged MQA logits: one warp.
#pragma once

#include "kernels/sm90_fp8_paged_mqa_logits_schedule.cuh"
#include "ptx/tma.cuh"

namespace jdg {

template <Sm90Fp8PagedMqaLogitsConfig kConfig,
          typename Traits = Sm90Fp8PagedMqaLogitsTraits<kConfig>>
struct Sm90Fp8PagedMqaLogitsLoad {
  using Schedule = Sm90Fp8PagedMqaLogitsSchedule<kConfig, Traits>;
  using Params = typename Traits::Params;
  using Smem = typename Traits::Smem;
  using Block = typename Schedule::Block;
  using Run = typename Schedule::Run;
  using QueryRing = typename Traits::QueryRing;
  using KeyRing = typename Traits::KeyRing;
  using KeyStage = typename Traits::KeyStage;
  static constexpr u32 kPagesPerTile = Traits::kPagesPerTile;

  // The pages of a block's keys.
  struct Table {
    const int* pages;
    u32 last;       // Page of the block; what is further is this one again.
    u32 num_pages;  // In memory.

    // An entry, cut to the pages that there are.
    __device__ __forceinline__ u32 page(u32 i) const {
      return max(min(pages[min(i, last)], static_cast<int>(num_pages) - 1), 0);
    }
  };

  __device__ static __forceinline__ Table table_of(const Params& params, Block block, u32 tiles) {
    const u64 sequence = block.row / params.next_n;
    return {params.table + sequence * params.max_pages,
            min(tiles * kPagesPerTile, params.max_pages) - 1, params.num_pages};
  }

  __device__ static __forceinline__ void prefetch_maps(const Params& params) {
    ptx::prefetch_tensor_map(params.q);
    ptx::prefetch_tensor_map(params.pages);
    if constexpr (!Traits::kCopiesPages) ptx::prefetch_tensor_map(params.scales);
    ptx::prefetch_tensor_map(params.weights);
    if constexpr (Traits::kHasQueryScales) ptx::prefetch_tensor_map(params.q_scales);
  }

  // Loads the `remaining` tiles of this CTA. A lane looks at every 32nd candidate for a block.
  __device__ static __forceinline__ void run(const Params& params, Smem& smem, u32 remaining,
                                             u32 lane) {
    if (remaining == 0) return;
    QueryRing queries(smem.queries);
    KeyRing ring(smem.stages);
    u32 candidate = smem.start.candidate;
    u32 skipped = smem.start.tile;
    Run run = {candidate};
#pragma unroll 1
    while (remaining > 0 && candidate < Schedule::num_candidates(params)) {
      const Block block = block_of_lane(params, candidate, run, lane);
      const u32 tiles = Schedule::tiles_of(params, block);
#pragma unroll 1
      for (u32 i = 0; i < 32 && remaining > 0; ++i) {
        const u32 all = ptx::shuffle(tiles, i);
        if (all == 0) continue;
        const Block own = {ptx::shuffle(block.row, i), ptx::shuffle(block.num_rows, i)};
        const u32 count = min(all - skipped, remaining);
        const Table table = table_of(params, own, all);
        // Of the first round, before what waits.
        const u32 pages = table.page(skipped * kPagesPerTile + lane);
        load_queries(params, queries, own, skipped, count, lane);
        load_keys(params, ring, table, skipped, count, pages, lane);
        skipped = 0;
        remaining -= count;
      }
      candidate += 32;
    }
  }

 private:
  // The block that begins with candidate `first` + lane; `run` is that of the row before `first`,
  // and then of the last of 32.
  __device__ static __forceinline__ Block block_of_lane(const Params& params, u32 first, Run& run,
                                                        u32 lane) {
    Run own = run;
    if constexpr (kConfig.is_varlen) {
      const u32 begins = ptx::vote_ballot(Schedule::begins_run(params, first + lane));
      const u32 up_to_here = begins & (2u << lane) - 1;
      if (up_to_here != 0) own.begin = first + 31 - __clz(up_to_here);
      run.begin = ptx::shuffle(own.begin, 31);
    }
    return Schedule::block_at(params, first + lane, own);
  }

  __device__ static __forceinline__ void load_queries(const Params& params, QueryRing& queries,
                                                      Block block, u32 first_tile, u32 num_tiles,
                                                      u32 lane) {
    auto& stage = queries.stage();
    const u32 num_banks = (block.num_rows + Traits::kBankQueries - 1) / Traits::kBankQueries;
    wait(stage.empty, queries.parity() ^ 1);
    if (lane < Traits::kBlockQ) stage.rows[lane] = target(params, block, lane);
    if (lane == 0) {
      stage.first_tile = first_tile;
      stage.num_tiles = num_tiles;
      stage.num_banks = num_banks;
    }
    __syncwarp();
    if (lane == 0) {
      ptx::mbarrier_arrive_expect_tx(stage.full, num_banks * Traits::kBankBytes);
#pragma unroll 1
      for (u32 bank = 0; bank < num_banks; ++bank) {
        const u32 row = block.row + bank * Traits::kBankQueries;
        ptx::tma_load(&stage.q[bank * Traits::kBankN * Traits::kVectorBytes], params.q, stage.full,
                      0, row * kConfig.num_heads, 0);
        ptx::tma_load(&stage.weights[bank * Traits::kBankN], params.weights, stage.full, 0, row, 0);
        if constexpr (Traits::kHasQueryScales) {
          ptx::tma_load(&stage.q_scales[bank * Traits::kBankN], params.q_scales, stage.full, 0, row,
                        0);
        }
      }
    }
    __syncwarp();
    queries.advance();
  }

  // Where logits of a row of a block go; of one past its end, nowhere.
  __device__ static __forceinline__ RowTarget target(const Params& params, Block block, u32 i) {
    if (i >= block.num_rows) return {0, {0, 0}};
    const u32 row = block.row + i;
    return {static_cast<u64>(row) * params.width, key_range(params, row)};
  }

  // Each lane reads every 32nd page of the table, one round ahead: `next` is of the first.
  __device__ static __forceinline__ void load_keys(const Params& params, KeyRing& ring,
                                                   const Table& table, u32 first_tile,
                                                   u32 num_tiles, u32 next, u32 lane) {
    const u32 first = first_tile * kPagesPerTile;
    const u32 num_pages = num_tiles * kPagesPerTile;
#pragma unroll 1
    for (u32 i = 0; i < num_pages; i += 32) {
      const u32 own = next;
      next = table.page(first + i + 32 + lane);
      const u32 end = min(num_pages - i, 32u);
#pragma unroll 1
      for (u32 j = 0; j < end; j += kPagesPerTile) {
        u32 pages[kPagesPerTile];
#pragma unroll
        for (u32 k = 0; k < kPagesPerTile; ++k) pages[k] = ptx::shuffle(own, j + k);
        if (lane == 0) load_tile(params, ring.stage(), ring.parity(), pages);
        ring.advance();
      }
    }
  }

  __device__ static __forceinline__ void load_tile(const Params& params, KeyStage& stage,
                                                   u32 parity, const u32 (&pages)[kPagesPerTile]) {
    wait(stage.empty, parity ^ 1);
    ptx::mbarrier_arrive_expect_tx(stage.full, Traits::kKeyBytes);
    if constexpr (Traits::kCopiesPages) {
      // The scales are the last rows of the page, and follow its keys here as there.
#pragma unroll
      for (u32 i = 0; i < kPagesPerTile; ++i) {
        ptx::tma_load(stage.keys + i * Traits::kPageBytes, params.pages, stage.full, 0, 0,
                      pages[i]);
      }
    } else {
      constexpr u32 kPageKeyBytes = kConfig.block_kv * Traits::kHeadDim;
#pragma unroll
      for (u32 i = 0; i < kPagesPerTile; ++i) {
        ptx::tma_load(&stage.keys[i * kPageKeyBytes], params.pages, stage.full, 0, 0, pages[i]);
        ptx::tma_load(&stage.scales[i * kConfig.block_kv], params.scales, stage.full,
                      kPageKeyBytes / 4, pages[i], 0);
      }
    }
  }
};

}  // namespace jdg
