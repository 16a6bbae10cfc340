// logits[i, j] = scale[j] * sum_h weight[i, h] * relu(q[i, h] . k[j]) for the keys j of row i,
// which lie in pages.
//
// Persistent, warp specialised. 64 keys are an instruction's rows and (row, head) pairs its
// columns, so that the sum over heads is one within a thread and its quad. Warpgroups take tiles of
// 64 keys in turn, each with one set of accumulators: one multiplies while others sum. A tile meets
// all rows of its sequence, bank after bank. Warps that have nothing to load write what lies beyond
// the keys.
#pragma once

#include "kernels/sm90_fp8_mqa_logits_fill.cuh"
#include "kernels/sm90_fp8_mqa_logits_sums.cuh"
#include "kernels/sm90_fp8_paged_mqa_logits_load.cuh"
#include "mma/sm90_fp8_heads.cuh"
#include "ptx/sync.cuh"

namespace jdg {

template <Sm90Fp8PagedMqaLogitsConfig kConfig>
struct Sm90Fp8PagedMqaLogits {
  using Traits = Sm90Fp8PagedMqaLogitsTraits<kConfig>;
  using Params = Sm90Fp8PagedMqaLogitsParams;
  using Load = Sm90Fp8PagedMqaLogitsLoad<kConfig>;
  using Schedule = Sm90Fp8PagedMqaLogitsSchedule<kConfig>;
  using Sums = Sm90Fp8MqaLogitsSums<Traits>;
  using Smem = typename Traits::Smem;
  using Element = typename Traits::Element;
  using QueryStage = typename Traits::QueryStage;
  using KeyStage = typename Traits::KeyStage;
  using KeyRing = typename Traits::KeyRing;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr u32 kNumWarpgroups = kConfig.num_math_warpgroups;

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    if (threadIdx.x == 0) init_barriers(smem);
    if (threadIdx.x == Traits::kNumMathWarps * 32) Load::prefetch_maps(params);
    ptx::wait_for_previous_kernel();
    const u32 num_tiles = __shfl_sync(0xFFFFFFFF, Schedule::place(params, smem), 0);
    if (warp < Traits::kNumMathWarps) {
      if constexpr (kNumWarpgroups == 2) ptx::acquire_registers<232>();
      if constexpr (kNumWarpgroups == 3) ptx::acquire_registers<152>();
      multiply(params, smem, num_tiles, warp, lane);
    } else {
      ptx::release_registers<40>();
      if (warp == Traits::kNumMathWarps) {
        Load::run(params, smem, num_tiles, lane);
      } else if (params.clean) {
        const u32 index = blockIdx.x * Traits::kNumFillWarps + warp - Traits::kNumMathWarps - 1;
        OutsideFill<Element, Params>(params, lane).rows(index, gridDim.x * Traits::kNumFillWarps);
      }
    }
  }

 protected:
  using Accumulators = float[Sums::kAccumulators];

  // What a thread is, and where logits go.
  struct Worker {
    u32 row;  // Of its key, within a tile.
    u32 lane;
    Element* logits;
  };

  // What a thread multiplies: a bank of rows, and a tile that is there.
  struct Product {
    QueryStage& query;
    u32 num_banks;
    u32 bank;
    u32 key;          // The thread's, of the tile.
    u32 key_address;  // Of the tile.
    float scale;      // Of the thread's key, halved for twofold sums.
    typename Sums::Weights weights;
  };

  __device__ static __forceinline__ void init_barriers(Smem& smem) {
#pragma unroll
    for (QueryStage& stage : smem.queries) {
      ptx::mbarrier_init(stage.full, 1);
      ptx::mbarrier_init(stage.empty, Traits::kNumMathWarps);
    }
#pragma unroll 1
    for (KeyStage& stage : smem.stages) {
      ptx::mbarrier_init(stage.full, 1);
      ptx::mbarrier_init(stage.empty, 4);  // The warps of a warpgroup.
    }
    ptx::mbarrier_init_fence();
  }

  __device__ static __forceinline__ void multiply(const Params& params, Smem& smem, u32 remaining,
                                                  u32 warp, u32 lane) {
    typename Traits::QueryRing queries(smem.queries);
    KeyRing ring(smem.stages);
    const Worker worker = {warp % 4 * 16 + Sums::key_row(lane), lane,
                           static_cast<Element*>(params.logits)};
    u32 own = warp / 4;  // The warpgroup's next tile, counted from the block's first.
#pragma unroll 1
    for (u32 i = 0; i < own; ++i) ring.advance();
#pragma unroll 1
    while (remaining > 0) {
      QueryStage& query = queries.stage();
      wait(query.full, queries.parity());
      const u32 num_tiles = __shfl_sync(0xFFFFFFFF, query.num_tiles, 0);
      if (own < num_tiles) {
        const u32 count = (num_tiles - own + kNumWarpgroups - 1) / kNumWarpgroups;
        multiply_tiles(worker, query, ring, query.first_tile + own, count);
        own += count * kNumWarpgroups;
      }
      own -= num_tiles;
      release(query.empty, lane);
      queries.advance();
      remaining -= num_tiles;
    }
  }

  // Multiplies `count` tiles, `first` and every kNumWarpgroups-th after it.
  __device__ static __forceinline__ void multiply_tiles(const Worker& worker, QueryStage& query,
                                                        KeyRing& ring, u32 first, u32 count) {
    Accumulators acc;
    const u32 num_banks = Traits::kMaxBanks == 1 ? 1 : __shfl_sync(0xFFFFFFFF, query.num_banks, 0);
    Product product = {query, num_banks, 0, first * Traits::kBlockKv + worker.row};
    if constexpr (Traits::kMaxBanks == 1)
      Sums::load_weights(product.weights, query, 0, worker.lane);
    take_tile(worker, ring, product);
    start(acc, product);
#pragma unroll 1
    for (u32 i = 1; i < count * num_banks; ++i) finish<true>(worker, ring, acc, product);
    finish<false>(worker, ring, acc, product);
  }

  // Waits for the keys of the ring's next tile.
  __device__ static __forceinline__ void take_tile(const Worker& worker, const KeyRing& ring,
                                                   Product& product) {
    KeyStage& stage = ring.stage();
    wait(stage.full, ring.parity());
    product.key_address = ptx::smem_address(stage.keys);
    product.scale = 0.5f * stage.scales[Traits::scale_index(worker.row)];
  }

  __device__ static __forceinline__ void start(Accumulators& acc, const Product& product) {
    constexpr u32 kBytes = Traits::kBankN * Traits::kHeadDim;
    start_heads_mma<Traits::kBankN, Traits::kHeadDim>(
        acc, product.key_address, ptx::smem_address(product.query.q) + product.bank * kBytes);
  }

  // Sums and stores a product that was started, and starts the next if there is one (kMore) as soon
  // as its accumulators were read.
  template <bool kMore>
  __device__ static __forceinline__ void finish(const Worker& worker, KeyRing& ring,
                                                Accumulators& acc, Product& product) {
    if constexpr (Traits::kMaxBanks > 1) {
      Sums::load_weights(product.weights, product.query, product.bank, worker.lane);
    }
    const RowTarget* rows = &product.query.rows[product.bank * Traits::kBankQueries];
    const u32 key = product.key;
    const float scale = product.scale;
    typename Sums::Partial sums;
    wait_heads_mma<0>(acc);
    Sums::add_up(acc, product.weights, sums);
    if (++product.bank == product.num_banks) {
      release(ring.stage().empty, worker.lane);
#pragma unroll
      for (u32 i = 0; i < kNumWarpgroups; ++i) ring.advance();
      product.bank = 0;
      product.key += kNumWarpgroups * Traits::kBlockKv;
      if constexpr (kMore) take_tile(worker, ring, product);
    }
    if constexpr (kMore) start(acc, product);
    Sums::store(sums, rows, scale, key, worker.logits, worker.lane);
  }

  __device__ static __forceinline__ void release(ptx::Mbarrier& empty, u32 lane) {
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(empty);
  }
};

}  // namespace jdg
