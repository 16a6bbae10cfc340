// Bytes of two registers picked into one (PTX ISA, "prmt").
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

// Byte i of the result is the byte of {x, y} that bits 4 i to 4 i + 2 of `selector` name: 0 to 3
// are those of x, 4 to 7 those of y. Bit 4 i + 3 must be 0.
__device__ __forceinline__ u32 permute_bytes(u32 x, u32 y, u32 selector) {
  u32 result;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(x), "r"(y), "r"(selector));
  return result;
}

}  // namespace jdg::ptx
