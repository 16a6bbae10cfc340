// Scales came row by row; products want those of a block of 128 columns side by side.
#pragma once

#include "kernels/sm90_mega_moe_dispatch_types.cuh"

namespace jdg {

template <Sm90MegaMoeDispatchConfig kConfig>
struct Sm90MegaMoeDispatchScales {
  using Traits = Sm90MegaMoeDispatchTraits<kConfig>;
  using Params = Sm90MegaMoeDispatchParams;
  using Smem = typename Traits::Smem;

  // A warp has 32 rows by 8 blocks: reads are of whole sectors, writes of whole lines.
  __device__ static __forceinline__ void transpose(const Params& params, const Smem& smem,
                                                   const ArenaCall& call) {
    constexpr u32 kBlocks = 8;
    const float* scales = reinterpret_cast<const float*>(reinterpret_cast<const u8*>(call.arena) +
                                                         params.scales_offset);
    const u32 num_rows = smem.num_rows;
    const u32 tiles_along = (params.num_scales + kBlocks - 1) / kBlocks;
    const u32 num_tiles = (num_rows + 31) / 32 * tiles_along;
    const u32 warp = blockIdx.x * Traits::kNumWarps + threadIdx.x / 32;
#pragma unroll 1
    for (u32 tile = warp; tile < num_tiles; tile += gridDim.x * Traits::kNumWarps) {
      const u32 row = tile / tiles_along * 32 + threadIdx.x % 32;
      const u32 first = tile % tiles_along * kBlocks;
      if (row >= num_rows) continue;
      const u64 begin = static_cast<u64>(row) * params.num_scales;
#pragma unroll
      for (u32 i = 0; i < kBlocks; ++i) {
        if (first + i >= params.num_scales) continue;
        const u64 to = static_cast<u64>(first + i) * params.capacity + row;
        params.transposed_scales[to] = scales[begin + first + i];
      }
    }
  }
};

}  // namespace jdg
