// Tensor loads that say what L2 should do with the lines (PTX ISA, "createpolicy").
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// For lines that are read once: they are the first to be replaced.
__device__ __forceinline__ u64 evict_first_policy() {
  u64 policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

__device__ __forceinline__ void tma_load_hinted(void* smem, const TensorMap* map, Mbarrier& barrier,
                                                u64 policy, u32 x, u32 y, u32 z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%4, %5, %6}], [%2], %3;" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "l"(policy), "r"(x), "r"(y), "r"(z)
      : "memory");
}

__device__ __forceinline__ void tma_load_hinted(void* smem, const TensorMap* map, Mbarrier& barrier,
                                                u64 policy, u32 x, u32 y, u32 z, u32 w) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%4, %5, %6, %7}], [%2], %3;" ::"r"(smem_address(smem)),
      "l"(map), "r"(smem_address(&barrier)), "l"(policy), "r"(x), "r"(y), "r"(z), "r"(w)
      : "memory");
}

}  // namespace jdg::ptx
