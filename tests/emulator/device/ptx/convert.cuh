// Stands in for cuda/ptx/convert.cuh.
#pragma once

#include "ptx/types.cuh"
#include "runtime/e4m3.h"

namespace jdg::ptx {

__forceinline__ u16 pack_e4m3(float low, float high) {
  return static_cast<u16>(emu::e4m3_bits(low) | emu::e4m3_bits(high) << 8);
}

}  // namespace jdg::ptx
