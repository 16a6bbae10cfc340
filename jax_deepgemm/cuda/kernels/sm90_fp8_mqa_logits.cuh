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

 private:
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
      u32 tile = 0;
#pragma unroll 1
      for (; tile + kConfig.round_tiles <= num_tiles; tile += kConfig.round_tiles) {
        multiply_tiles<kConfig.round_tiles>(worker, block, ring);
      }
#pragma unroll 1
      for (; tile < num_tiles; ++tile) multiply_tiles<1>(worker, block, ring);
      release(query.empty, lane);
      queries.advance();
      remaining -= num_tiles;
    }
  }

  // Multiplies the next kTiles tiles. No product is under way at the end: over the end of a loop
  // ptxas would wait for it at once.
  template <int kTiles>
  __device__ static __forceinline__ void multiply_tiles(const Worker& worker, Block& block,
                                                        KeyRing& ring) {
    constexpr int kProducts = 2 * kTiles;
    float acc[2][Sums::kAccumulators];
    float scales[2];
    u32 keys_address;
    KeyRing ahead = ring;
    const auto start = [&](int product) {
      if (product % 2 == 0) {
        const KeyStage& stage = ahead.stage();
        wait(ahead.stage().full, ahead.parity());
        keys_address = ptx::smem_address(stage.keys) + worker.warpgroup_row * Traits::kHeadDim;
        // Halved for the twofold sums.
        scales[product / 2 % 2] = 0.5f * stage.scales[worker.row];
        ahead.advance();
      }
      start_heads_mma<Traits::kBankN, Traits::kHeadDim>(
          acc[product % 2], keys_address,
          block.q_address + product % 2 * Traits::kBankN * Traits::kHeadDim);
    };
    start(0);
    start(1);
#pragma unroll
    for (int product = 0; product < kProducts; ++product) {
      const int bank = product % 2;
      if (product + 1 < kProducts) {
        wait_heads_mma<1>(acc[bank]);
      } else {
        wait_heads_mma<0>(acc[bank]);
      }
      if (bank == 1) {
        release(ring.stage().empty, worker.lane);
        ring.advance();
      }
      typename Sums::Partial sums;
      Sums::add_up(acc[bank], block.weights[bank], sums);
      const float scale = scales[product / 2 % 2];
      // The accumulators are free: the tensor cores need not wait for what is left to do.
      if (product + 2 < kProducts) start(product + 2);
      Sums::store(sums, &block.query.rows[bank * Traits::kBankQueries], scale, block.key,
                  worker.logits, worker.lane);
      if (bank == 1) block.key += Traits::kBlockKv;
    }
  }

  __device__ static __forceinline__ void release(ptx::Mbarrier& empty, u32 lane) {
    __syncwarp();
    if (lane == 0) ptx::mbarrier_arrive(empty);
  }
};

}  // namespace jdg
