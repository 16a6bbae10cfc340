// Stands in for cuda/ptx/tma_prefetch.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void tma_prefetch(const TensorMap* map, u32, u32, u32) {
  emu::prefetch_tensor_map(map);
}

__forceinline__ void tma_prefetch(const TensorMap* map, u32, u32, u32, u32) {
  emu::prefetch_tensor_map(map);
}

}  // namespace jdg::ptx
