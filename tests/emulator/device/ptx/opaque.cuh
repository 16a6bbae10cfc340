// Stands in for cuda/ptx/opaque.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ u32 opaque(u32 x) { return x; }

}  // namespace jdg::ptx
