// Stands in for cuda/ptx/permute.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ u32 permute_bytes(u32 x, u32 y, u32 selector) {
  const u64 bytes = static_cast<u64>(y) << 32 | x;
  u32 result = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 picked = selector >> 4 * i & 0xF;
    // prmt would repeat the byte's sign.
    if (picked > 7) emu::trap();
    result |= static_cast<u32>(bytes >> 8 * picked & 0xFF) << 8 * i;
  }
  return result;
}

}  // namespace jdg::ptx
