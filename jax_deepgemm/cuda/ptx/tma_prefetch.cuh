// Prefetches of tensor boxes into L2 (PTX ISA, "cp.async.bulk.prefetch.tensor"). L2 is where global
// memory is coherent, so data may be fetched before another kernel has written it.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__device__ __forceinline__ void tma_prefetch(const TensorMap* map, u32 x, u32 y, u32 z) {
  asm volatile("cp.async.bulk.prefetch.tensor.3d.L2.global.tile [%0, {%1, %2, %3}];" ::"l"(map),
               "r"(x), "r"(y), "r"(z)
               : "memory");
}

__device__ __forceinline__ void tma_prefetch(const TensorMap* map, u32 x, u32 y, u32 z, u32 w) {
  asm volatile("cp.async.bulk.prefetch.tensor.4d.L2.global.tile [%0, {%1, %2, %3, %4}];" ::"l"(map),
               "r"(x), "r"(y), "r"(z), "r"(w)
               : "memory");
}

}  // namespace jdg::ptx
