// logits[i, j] = scale[j] * sum_h weight[i, h] * relu(q[i, h] . k[j]) for the keys j of row i.
//
// Persistent, warp specialised. 64 keys are an instruction's rows and (query, head) pairs its
// columns, so that the sum over heads is one within a thread and its quad. The columns of a block
// of queries are two banks of accumulators: one is summed while the tensor cores fill the other.
// Warps that have nothing to load write what lies outside of the ranges.
#pragma once

#include "kernels/sm90_fp8_mqa_logits_fill.cuh"
#include "kernels/sm90_fp8_mqa_logits_load.cuh"
#include "kernels/sm90_fp8_mqa_logits_sums.cuh"
#include "mma/sm90_fp8_heads.cuh"
#include "ptx/sync.cuh"

namespace jdg {

template <Sm90Fp8MqaLogitsConfig kConfig>
struct Sm90Fp8MqaLogits {
  using Traits = Sm90Fp8MqaLogitsTraits<kConfig>;
  using Params = Sm90Fp8MqaLogitsParams;
  using Load = Sm90Fp8MqaLogitsLoad<kConfig>;
  using Schedule = Sm90Fp8MqaLogitsSchedule<kConfig>;
  using Sums = Sm90Fp8MqaLogitsSums<Traits>;
  using Smem = typename Traits::Smem;
  using Element = typename Traits::Element;
  using QueryStage = typename Traits::QueryStage;
  using KeyStage = typename Traits::KeyStage;
  using KeyRing = typename Traits::KeyRing;
  using QueryRing = typename Traits::QueryRing;
  static constexpr int kNumThreads = Traits::kNumThreads;

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
      if constexpr (kConfig.num_math_warpgroups == 2) ptx::acquire_registers<232>();
      if constexpr (kConfig.num_math_warpgroups == 3) ptx::acquire_registers<152>();
      multiply(params, smem, num_tiles, warp, lane);
    } else {
      ptx::release_registers<40>();
      if (warp == Traits::kNumMathWarps) {
        Load::run(params, smem, num_tiles, lane);
      } else {
        const u32 index = blockIdx.x * Traits::kNumFillWarps + warp - Traits::kNumMathWarps - 1;
        OutsideFill<Element, Params>(params, lane).rows(index, gridDim.x * Traits::kNumFillWarps);
      }
    }
  }

 protected:
  // What a thread needs of its block of queries.
  struct Block {
    QueryStage* query;
    u32 q_address;
    u32 num_tiles;
    u32 key;  // The thread's, of the next tile.
    typename Sums::Weights weights[2];
  };

  // What a thread is, and where logits go.
  struct Worker {
    u32 row;  // Of its first key, within a tile.
    u32 warpgroup_row;
    u32 lane;
    Element* logits;
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
      ptx::mbarrier_init(stage.empty, Traits::kNumMathWarps);
    }
    ptx::mbarrier_init_fence();
  }

  __device__ static __forceinline__ void multiply(const Params& params, Smem& smem, u32 num_tiles,
                                                  u32 warp, u32 lane) {
    if (num_tiles == 0) return;
    const Worker worker = {warp * 16 + Sums::key_row(lane), warp / 4 * 64, lane,
                           static_cast<Element*>(params.logits)};
    Tiles tiles = {QueryRing(smem.queries), KeyRing(smem.stages)};
    Accumulators first, second;
    enter(worker, tiles);
    Sums::load_weights(tiles.block.weights[1], *tiles.block.query, 1, lane);
    tiles.keys = keys_of(worker, tiles.ring);
    start(first, tiles, 0);
    // The last block has a loop of its own. With one for all, left in its middle, ptxas takes what
    // is the same in all threads for different: descriptors would be moved by 32 instructions a
    // tile.
#pragma unroll 1
    while (num_tiles > tiles.block.num_tiles) {
      const u32 count = tiles.block.num_tiles;
      num_tiles -= count;
#pragma unroll 1
      for (u32 i = 1; i < count; ++i) multiply_tile<Next::kTile>(worker, tiles, first, second);
      multiply_tile<Next::kBlock>(worker, tiles, first, second);
    }
#pragma unroll 1
    for (u32 i = 1; i < num_tiles; ++i) multiply_tile<Next::kTile>(worker, tiles, first, second);
    multiply_tile<Next::kNothing>(worker, tiles, first, second);
  }

  using Accumulators = float[Sums::kAccumulators];

  // A tile's keys of a warpgroup, and the scale of the thread's.
  struct Keys {
    u32 address;
    float scale;  // Halved for twofold sums.
  };

  // Where a thread is in its tiles.
  struct Tiles {
    QueryRing queries;
    KeyRing ring;
    Block block;
    Keys keys;
  };

  // Goes on to the next block of queries, but for the weights of the second bank.
  __device__ static __forceinline__ void enter(const Worker& worker, Tiles& tiles) {
    QueryStage& query = tiles.queries.stage();
    wait(query.full, tiles.queries.parity());
    tiles.queries.advance();
    Block& block = tiles.block;
    block.query = &query;
    block.q_address = ptx::smem_address(query.q);
    block.num_tiles = __shfl_sync(0xFFFFFFFF, query.num_tiles, 0);
    block.key = query.first_tile * Traits::kBlockKv + worker.row;
    Sums::load_weights(block.weights[0], query, 0, worker.lane);
  }

  // The keys of the ring's next tile, once they are there.
  __device__ static __forceinline__ Keys keys_of(const Worker& worker, const KeyRing& ring) {
    KeyStage& stage = ring.stage();
    wait(stage.full, ring.parity());
    return {ptx::smem_address(stage.keys) + worker.warpgroup_row * Traits::kHeadDim,
            0.5f * stage.scales[worker.row]};
  }

  __device__ static __forceinline__ void start(Accumulators& acc, const Tiles& tiles, int bank) {
    start_heads_mma<Traits::kBankN, Traits::kHeadDim>(
        acc, tiles.keys.address, tiles.block.q_address + bank * Traits::kBankN * Traits::kHeadDim);
  }

  // What follows a tile: one of the same block of queries, or of the next, or none.
  enum class Next { kTile, kBlock, kNothing };

  // Finishes a tile whose first bank was started, and starts that of the next one: a bank is summed
  // while the tensor cores fill the other, where a block of queries ends as well.
  template <Next kNext>
  __device__ static __forceinline__ void multiply_tile(const Worker& worker, Tiles& tiles,
                                                       Accumulators& first, Accumulators& second) {
    start(second, tiles, 1);
    Block& block = tiles.block;
    KeyStage& stage = tiles.ring.stage();
    QueryStage& query = *block.query;
    const Stored stored = {query, block.key, tiles.keys.scale};
    tiles.ring.advance();
    typename Sums::Partial sums;
    wait_heads_mma<1>(first);
    Sums::add_up(first, block.weights[0], sums);
    // The accumulators are free: the tensor cores need not wait for what is left to do.
    if constexpr (kNext == Next::kTile) block.key += Traits::kBlockKv;
    if constexpr (kNext == Next::kBlock) {
      store(sums, worker, stored, 0);
      enter(worker, tiles);
    }
    if constexpr (kNext != Next::kNothing) {
      tiles.keys = keys_of(worker, tiles.ring);
      start(first, tiles, 0);
    }
    if constexpr (kNext != Next::kBlock) store(sums, worker, stored, 0);
    wait_heads_mma<kNext == Next::kNothing ? 0 : 1>(second);
    release(stage.empty, worker.lane);
    Sums::add_up(second, block.weights[1], sums);
    store(sums, worker, stored, 1);
    if constexpr (kNext == Next::kBlock) {
      Sums::load_weights(block.weights[1], *block.query, 1, worker.lane);
      release(query.empty, worker.lane);
    }
  }

  // Of a tile, what its logits need.
  struct Stored {
    const QueryStage& query;
    u32 key;
    float scale;
  };

  __device__ static __forceinline__ void store(const typename Sums::Partial& sums,
                                               const Worker& worker, const Stored& tile, int bank) {
    Sums::store(sums, &tile.query.rows[bank * Traits::kBankQueries], tile.scale, tile.key,
                worker.logits, worker.lane);
  }

  __device__ static __forceinline__ void release(ptx::Mbarrier& empty, u32 lane) {
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(empty);
  }
};

}  // namespace jdg
