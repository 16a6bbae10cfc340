// Stands in for cuda/ptx/maximum.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ float max_or_nan(float x, float y) {
  if (std::isnan(x) || std::isnan(y)) return std::bit_cast<float>(0x7FFFFFFFu);
  return x > y || (x == y && !std::signbit(x)) ? x : y;
}

}  // namespace jdg::ptx
