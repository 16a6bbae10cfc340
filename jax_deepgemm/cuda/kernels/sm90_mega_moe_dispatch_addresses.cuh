// Where the results of a pool's rows go: to the ranks that sent the rows.
#pragma once

#include "kernels/sm90_mega_moe_dispatch_types.cuh"

namespace jdg {

template <Sm90MegaMoeDispatchConfig kConfig>
struct Sm90MegaMoeDispatchAddresses {
  using Traits = Sm90MegaMoeDispatchTraits<kConfig>;
  using Params = Sm90MegaMoeDispatchParams;
  using Smem = typename Traits::Smem;

  // All rows have come. A slot that no rank has, whatever it was that came, has no address.
  __device__ static __forceinline__ void find(const Params& params, const Smem& smem,
                                              const ArenaCall& call) {
    const u8* arena = reinterpret_cast<const u8*>(call.arena);
    const u32* sources = reinterpret_cast<const u32*>(arena + params.sources_offset);
    u32 row = blockIdx.x * Traits::kNumThreads + threadIdx.x;
#pragma unroll 1
    for (; row < smem.num_rows; row += gridDim.x * Traits::kNumThreads) {
      const u32 rank = sources[row] / params.num_slots;
      const u64 slot = sources[row] % params.num_slots;
      params.row_addresses[row] = rank < call.num_ranks ? smem.peers[rank] + params.results_offset +
                                                              slot * params.result_bytes
                                                        : 0;
    }
  }
};

}  // namespace jdg
