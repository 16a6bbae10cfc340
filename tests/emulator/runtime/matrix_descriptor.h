// The 64-bit descriptor of a K-major operand in shared memory.
#pragma once

#include <cstdint>

#include "runtime/shared_memory.h"

namespace jdg::emu {

class MatrixDescriptor {
 public:
  // Throws if bits are set that mean nothing, or something that is not emulated.
  explicit MatrixDescriptor(uint64_t bits);

  // The 16 bytes of `row` from byte `k` of the instruction's depth on.
  const uint8_t* read(const SharedMemory& smem, int row, int k) const;

 private:
  uint32_t start_;
  uint32_t leading_;  // Bytes between 16-byte columns; of no meaning in a swizzle.
  uint32_t stride_;   // Bytes between groups of 8 rows.
  int32_t swizzle_;
};

}  // namespace jdg::emu
