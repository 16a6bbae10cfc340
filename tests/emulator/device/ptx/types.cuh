// Stands in for cuda/ptx/types.cuh.
#pragma once

#include "runtime/api.h"

namespace jdg {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

namespace ptx {

struct alignas(64) TensorMap {
  u64 opaque[16];
};

// The emulator keeps the state elsewhere: kernels must not look at it.
struct alignas(8) Mbarrier {
  u64 opaque;
};

__forceinline__ u32 smem_address(const void* pointer) { return emu::shared_address(pointer); }

}  // namespace ptx
}  // namespace jdg
