// Stands in for cuda/ptx/ldmatrix.cuh.
#pragma once

#include "ptx/types.cuh"

namespace jdg::ptx {

__forceinline__ u32 ldmatrix_x1(u32 address) {
  u32 r;
  emu::load_matrices(address, &r, 1, false);
  return r;
}

__forceinline__ u32 ldmatrix_x1_transposed(u32 address) {
  u32 r;
  emu::load_matrices(address, &r, 1, true);
  return r;
}

__forceinline__ void ldmatrix_x2(u32 (&r)[2], u32 address) {
  emu::load_matrices(address, r, 2, false);
}

__forceinline__ void ldmatrix_x2_transposed(u32 (&r)[2], u32 address) {
  emu::load_matrices(address, r, 2, true);
}

__forceinline__ void ldmatrix_x4(u32 (&r)[4], u32 address) {
  emu::load_matrices(address, r, 4, false);
}

__forceinline__ void ldmatrix_x4_transposed(u32 (&r)[4], u32 address) {
  emu::load_matrices(address, r, 4, true);
}

}  // namespace jdg::ptx
