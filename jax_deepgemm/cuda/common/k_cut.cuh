// Where K ends within a K block, for loads of several blocks at a time.
//
// Their boxes are {128, rows, block}: they cannot end within a block, and lie over whole ones only.
// A stage that reaches beyond those is loaded a block at a time, in boxes {K, rows} that end where
// K does; what lies behind is zero.
#pragma once

#include "ptx/types.cuh"

namespace jdg {

struct KCut {
  const ptx::TensorMap* a = nullptr;  // Boxes of one K block of A,
  const ptx::TensorMap* b = nullptr;  // and of B.
  u32 k_block = ~0u;                  // That K ends within; beyond all others if there is none.

  __device__ __forceinline__ bool lies_in(u32 first, u32 count) const {
    return k_block - first < count;
  }
};

}  // namespace jdg
