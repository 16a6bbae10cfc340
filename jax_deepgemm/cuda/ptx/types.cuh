// Integer names and the two opaque 128-byte and 8-byte objects that PTX works on.
#pragma once

namespace jdg {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

namespace ptx {

// A CUtensorMap, encoded by the host and passed by value as a kernel parameter.
struct alignas(64) TensorMap {
  u64 opaque[16];
};

// An mbarrier object; lives in shared memory.
struct alignas(8) Mbarrier {
  u64 opaque;
};

// Shared-memory address of a generic pointer, as PTX wants it.
__device__ __forceinline__ u32 smem_address(const void* pointer) {
  return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

}  // namespace ptx
}  // namespace jdg
