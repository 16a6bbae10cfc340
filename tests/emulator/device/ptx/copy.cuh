// Stands in for cuda/ptx/copy.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ void stmatrix_x4(u32 address, u32 r0, u32 r1, u32 r2, u32 r3) {
  emu::store_matrices(address, {r0, r1, r2, r3}, false);
}

__forceinline__ void stmatrix_x2(u32 address, u32 r0, u32 r1) {
  emu::store_matrices(address, {r0, r1}, false);
}

__forceinline__ void stmatrix_x4_transposed(u32 address, u32 r0, u32 r1, u32 r2, u32 r3) {
  emu::store_matrices(address, {r0, r1, r2, r3}, true);
}

__forceinline__ void stmatrix_x2_transposed(u32 address, u32 r0, u32 r1) {
  emu::store_matrices(address, {r0, r1}, true);
}

__forceinline__ void store_shared(u32 address, float x, float y) {
  const float pair[] = {x, y};
  emu::store_shared(address, pair, sizeof(pair));
}

__forceinline__ void cp_async_4(void* smem, const void* global, bool valid) {
  emu::copy_async(smem_address(smem), global, 4, valid ? 4 : 0);
}

__forceinline__ void cp_async_4(void* smem, const void* global, u32 bytes) {
  emu::copy_async(smem_address(smem), global, 4, bytes);
}

__forceinline__ void cp_async_arrive(Mbarrier& barrier) {
  emu::copy_async_arrive(smem_address(&barrier));
}

// Rounds to nearest even; a NaN stays one.
__forceinline__ u32 bfloat16_bits(float value) {
  const u32 bits = std::bit_cast<u32>(value);
  if (value != value) return 0x7FFF;
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

__forceinline__ u32 pack_bfloat16(float low, float high) {
  return bfloat16_bits(high) << 16 | bfloat16_bits(low);
}

}  // namespace jdg::ptx
