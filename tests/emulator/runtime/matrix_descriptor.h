// The 64-bit descriptor of a wgmma operand in shared memory.
#pragma once

#include <cstdint>

#include "runtime/shared_memory.h"

namespace jdg::emu {

constexpr uint32_t kLineBytes = 16;  // Bytes of an operand that lie together.

class MatrixDescriptor {
 public:
  // Throws if bits are set that mean nothing, or something that is not emulated.
  explicit MatrixDescriptor(uint64_t bits);

  // K-major: the 16 bytes of `row` from byte `k` of the instruction's depth on.
  const uint8_t* read_row(const SharedMemory& smem, uint32_t row, uint32_t k) const;

  // MN-major: the 16 bytes of depth `k` from byte `x` of the row of M or N on.
  const uint8_t* read_column(const SharedMemory& smem, uint32_t x, uint32_t k) const;

 private:
  uint32_t start_;
  uint32_t leading_;
  uint32_t stride_;
  uint32_t swizzle_;  // Bytes.
};

}  // namespace jdg::emu
