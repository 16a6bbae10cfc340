// logits[i, j] = sum_h weight[i, h] * relu(q[i, h] . k[j]) for FP4 vectors with scales of 32 codes,
// the keys j of row i lying in pages.
//
// The FP8 kernel with warps that decode: TMA loads whole pages to stages of their own, and what is
// multiplied is written by threads. A vector's e4m3 codes have one scale, and so math is that of
// FP8. Vectors for which that is not enough are rare, and computed afterwards.
#pragma once

#include "kernels/sm90_fp8_fp4_paged_mqa_logits_decode.cuh"
#include "kernels/sm90_fp8_fp4_paged_mqa_logits_wide.cuh"
#include "kernels/sm90_fp8_paged_mqa_logits.cuh"

namespace jdg {

template <Sm90Fp8Fp4PagedMqaLogitsConfig kConfig>
struct Sm90Fp8Fp4PagedMqaLogits : private Sm90Fp8PagedMqaLogits<kConfig.decoded()> {
  using Math = Sm90Fp8PagedMqaLogits<kConfig.decoded()>;
  using Traits = Sm90Fp8Fp4PagedMqaLogitsTraits<kConfig>;
  using Decoded = typename Traits::Decoded;
  using Params = typename Traits::Params;
  using Load = Sm90Fp8PagedMqaLogitsLoad<kConfig.decoded(), Traits>;
  using Schedule = Sm90Fp8PagedMqaLogitsSchedule<kConfig.decoded(), Traits>;
  using Decode = Sm90Fp8Fp4PagedMqaLogitsDecode<kConfig>;
  static constexpr int kNumThreads = Traits::kNumThreads;
  static constexpr u32 kFirstDecodeWarp = Decoded::kNumWarps;

  struct Smem {
    typename Decoded::Smem decoded;
    typename Traits::Smem raw;
  };

  __device__ static __forceinline__ void run(const Params& params) {
    extern __shared__ __align__(1024) u8 smem_bytes[];
    Smem& smem = *reinterpret_cast<Smem*>(smem_bytes);
    const u32 warp = __shfl_sync(0xFFFFFFFF, threadIdx.x / 32, 0);
    const u32 lane = threadIdx.x % 32;
    if (threadIdx.x == 0) init(smem);
    if (threadIdx.x == Traits::kNumMathWarps * 32) Load::prefetch_maps(params);
    ptx::wait_for_previous_kernel();
    // Roles that have few registers read it where they need it.
    u32& num_tiles = smem.raw.warp_tiles[warp];
    num_tiles = Schedule::place(params, smem.raw);
    __syncwarp();
    if (warp < Traits::kNumMathWarps) {
      ptx::acquire_registers<Traits::kMathRegisters>();
      Math::multiply(params, smem.decoded, num_tiles, warp, lane);
      rewrite_wide(params, smem.raw);
    } else {
      ptx::release_registers<Traits::kOtherRegisters>();
      if (warp >= kFirstDecodeWarp) {
        Decode::run(smem.raw, smem.decoded, num_tiles, warp - kFirstDecodeWarp, lane);
      } else if (warp == Traits::kNumMathWarps) {
        Load::run(params, smem.raw, num_tiles, lane);
      } else if (params.clean) {
        const u32 index = blockIdx.x * Traits::kNumFillWarps + warp - Traits::kNumMathWarps - 1;
        OutsideFill<typename Traits::Element, Params>(params, lane)
            .rows(index, gridDim.x * Traits::kNumFillWarps);
      }
    }
  }

 private:
  __device__ static __forceinline__ void init(Smem& smem) {
    constexpr u32 kWarps = Traits::kNumDecodeWarps;
    smem.raw.any_wide = 0;
    // A tile is decoded by one warp and multiplied by a warpgroup.
    init_ring(smem.raw.queries, 1, kWarps);
    init_ring(smem.raw.stages, 1, 1);
    init_ring(smem.decoded.queries, kWarps, Traits::kNumMathWarps);
    init_ring(smem.decoded.stages, 1, 4);
    ptx::mbarrier_init_fence();
  }

  template <typename Stage, int kNumStages>
  __device__ static __forceinline__ void init_ring(Stage (&stages)[kNumStages], u32 producers,
                                                   u32 consumers) {
#pragma unroll 1
    for (Stage& stage : stages) {
      ptx::mbarrier_init(stage.full, producers);
      ptx::mbarrier_init(stage.empty, consumers);
    }
  }

  // Overwrites what the warp stored for wide vectors. All that it multiplied was decoded before, so
  // that it knows of them. What it is and has is read again: math leaves no register for that.
  __device__ static __forceinline__ void rewrite_wide(const Params& params,
                                                      const typename Traits::Smem& raw) {
    __syncwarp();
    const u32 warp = threadIdx.x / 32;
    const u32 num_tiles = raw.warp_tiles[warp];
    if (num_tiles == 0 || raw.any_wide == 0) return;
    Sm90Fp8Fp4PagedMqaLogitsWide<kConfig>(params, warp, threadIdx.x % 32)
        .tiles(raw.start, num_tiles);
  }
};

}  // namespace jdg
