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
  using Sums = Sm90Fp8MqaLogitsSums<kConfig>;
  using Smem = typename Traits::Smem;
  using Element = typename Traits::Element;
  using QueryStage = typename Traits::QueryStage;
  using KeyStage = typename Traits::KeyStage;
  using KeyRing = typename Traits::KeyRing;
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
      if constexpr (kConfig.num_math_warpgroups == 4) ptx::acquire_registers<112>();
      multiply(params, smem, num_tiles, warp, lane);
    } else {
      ptx::release_registers<kConfig.num_math_warpgroups == 4 ? 32 : 40>();
      if (warp == Traits::kNumMathWarps) {
        Load::run(params, smem, num_tiles, lane);
      } else {
        const u32 index = blockIdx.x * Traits::kNumFillWarps + warp - Traits::kNumMathWarps - 1;
        OutsideFill<Element>(params, lane).rows(index, gridDim.x * Traits::kNumFillWarps);
      }
    }
  }

 protected:
  // What a thread needs of its block of queries.
  struct Block {
    const QueryStage& query;
    u32 q_address;
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

  __device__ static __forceinline__ void multiply(const Params& params, Smem& smem, u32 remaining,
                                                  u32 warp, u32 lane) {
    typename Traits::QueryRing queries(smem.queries);
    KeyRing ring(smem.stages);
    const Worker worker = {warp * 16 + Sums::key_row(lane), warp / 4 * 64, lane,
                           static_cast<Element*>(params.logits)};
#pragma unroll 1
    while (remaining > 0) {
      QueryStage& query = queries.stage();
      wait(query.full, queries.parity());
      Block block = {query, ptx::smem_address(query.q),
                     query.first_tile * Traits::kBlockKv + worker.row};
      Sums::load_weights(block.weights[0], query, 0, lane);
      Sums::load_weights(block.weights[1], query, 1, lane);
      const u32 num_tiles = __shfl_sync(0xFFFFFFFF, query.num_tiles, 0);
      multiply_tiles(worker, block, ring, num_tiles);
      release(query.empty, lane);
      queries.advance();
      remaining -= num_tiles;
    }
  }

  using Accumulators = float[Sums::kAccumulators];

  // A tile's keys of a warpgroup, and the scale of the thread's.
  struct Keys {
    u32 address;
    float scale;  // Halved for twofold sums.
  };

  // The keys of the ring's next tile, once they are there.
  __device__ static __forceinline__ Keys keys_of(const Worker& worker, const KeyRing& ring) {
    KeyStage& stage = ring.stage();
    wait(stage.full, ring.parity());
    return {ptx::smem_address(stage.keys) + worker.warpgroup_row * Traits::kHeadDim,
            0.5f * stage.scales[worker.row]};
  }

  __device__ static __forceinline__ void start(Accumulators& acc, const Keys& keys,
                                               const Block& block, int bank) {
    start_heads_mma<Traits::kBankN, Traits::kHeadDim>(
        acc, keys.address, block.q_address + bank * Traits::kBankN * Traits::kHeadDim);
  }

  __device__ static __forceinline__ void multiply_tiles(const Worker& worker, Block& block,
                                                        KeyRing& ring, u32 num_tiles) {
    Accumulators first, second;
    Keys keys = keys_of(worker, ring);
    start(first, keys, block, 0);
#pragma unroll 1
    for (u32 i = 1; i < num_tiles; ++i) {
      multiply_tile<true>(worker, block, ring, first, second, keys);
    }
    multiply_tile<false>(worker, block, ring, first, second, keys);
  }

  // Finishes a tile whose first bank was started, and starts that of the next if there is one
  // (kMore): a bank is summed while the tensor cores fill the other.
  template <bool kMore>
  __device__ static __forceinline__ void multiply_tile(const Worker& worker, Block& block,
                                                       KeyRing& ring, Accumulators& first,
                                                       Accumulators& second, Keys& keys) {
    start(second, keys, block, 1);
    KeyStage& stage = ring.stage();
    const float scale = keys.scale;
    ring.advance();
    typename Sums::Partial sums;
    wait_heads_mma<1>(first);
    Sums::add_up(first, block.weights[0], sums);
    // The accumulators are free: the tensor cores need not wait for what is left to do.
    if constexpr (kMore) {
      keys = keys_of(worker, ring);
      start(first, keys, block, 0);
    }
    store(sums, worker, block, 0, scale);
    wait_heads_mma<kMore ? 1 : 0>(second);
    release(stage.empty, worker.lane);
    Sums::add_up(second, block.weights[1], sums);
    store(sums, worker, block, 1, scale);
    block.key += Traits::kBlockKv;
  }

  __device__ static __forceinline__ void store(const typename Sums::Partial& sums,
                                               const Worker& worker, const Block& block, int bank,
                                               float scale) {
    Sums::store(sums, &block.query.rows[bank * Traits::kBankQueries], scale, block.key,
                worker.logits, worker.lane);
  }

  __device__ static __forceinline__ void release(ptx::Mbarrier& empty, u32 lane) {
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(empty);
  }
};

}  // namespace jdg
