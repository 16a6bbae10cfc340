// Values that the compiler cannot follow.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Returns `x`; no instruction. What is computed from it stays in the branch that it is in: taken
// out of a loop it would have a register there, where the branch is rarely taken.
__device__ __forceinline__ u32 opaque(u32 x) {
  asm volatile("" : "+r"(x));
  return x;
}

}  // namespace jdg::ptx
