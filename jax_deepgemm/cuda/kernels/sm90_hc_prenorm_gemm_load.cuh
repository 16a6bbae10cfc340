// The loading role of the Hopper kernel for a product with sums of squares: one thread.
#pragma once

#include "kernels/sm90_hc_prenorm_gemm_types.cuh"
#include "ptx/tma.cuh"
#include "ptx/tma_cache_hint.cuh"

namespace jdg {

template <Sm90HcPrenormGemmConfig kConfig>
struct Sm90HcPrenormGemmLoad {
  using Traits = Sm90HcPrenormGemmTraits<kConfig>;
  using Smem = typename Traits::Smem;
  using Stage = typename Traits::Stage;
  using Work = typename Traits::Work;

  __device__ static __forceinline__ void stages(const Sm90HcPrenormGemmParams& params,
                                                const Work& work, Smem& smem) {
    typename Traits::Ring ring(smem.stages, smem.barriers);
    const u64 policy = kConfig.evict_first ? ptx::evict_first_policy() : 0;
#pragma unroll 1
    for (u32 block = work.k_blocks.begin; block < work.k_blocks.end;
         block += kConfig.stage_k_blocks) {
      ptx::Mbarrier& full = ring.barriers().full;
      wait(ring.barriers().empty, ring.parity() ^ 1);
      ptx::mbarrier_arrive_expect_tx(full, Traits::kTransactionBytes);
#pragma unroll
      for (int i = 0; i < kConfig.stage_k_blocks; ++i) {
        // Blocks that are not this CTA's are taken from behind K, where all is zero.
        const u32 own = block + i < work.k_blocks.end ? block + i : params.num_k_blocks;
        load_block(params, work, ring.stage(), i, full, policy, own * kBf16BlockK);
      }
      ring.advance();
    }
  }

 private:
  __device__ static __forceinline__ void load_block(const Sm90HcPrenormGemmParams& params,
                                                    const Work& work, Stage& stage, int i,
                                                    ptx::Mbarrier& full, u64 policy, u32 k) {
    if constexpr (kConfig.evict_first) {
      ptx::tma_load_hinted(stage.a[i], params.a, full, policy, k, work.row, work.group);
    } else {
      ptx::tma_load(stage.a[i], params.a, full, k, work.row, work.group);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      ptx::tma_load(stage.b[i].half[half], params.b, full, k + half * (kBf16BlockK / 2),
                    work.column, work.group);
    }
  }
};

}  // namespace jdg
