// Core matrices are 8 lines of 16 bytes. In a swizzle a line is as long as the swizzle, 8 lines
// follow each other, and one of the two offsets leads to the next 8.
#include "runtime/matrix_descriptor.h"

#include "runtime/error.h"
#include "runtime/tensor_map.h"

namespace jdg::emu {
namespace {

constexpr uint32_t kSwizzles[] = {0, 128, 64, 32};

// `count` bits from bit `first` on.
uint32_t field(uint64_t bits, int first, int count) {
  return static_cast<uint32_t>(bits >> first & ((1ull << count) - 1));
}

}  // namespace

MatrixDescriptor::MatrixDescriptor(uint64_t bits)
    : start_(field(bits, 0, 14) << 4),
      leading_(field(bits, 16, 14) << 4),
      stride_(field(bits, 32, 14) << 4),
      swizzle_(kSwizzles[field(bits, 62, 2)]) {
  const bool has_base_offset = field(bits, 49, 3) != 0;
  const bool has_unused = field(bits, 14, 2) != 0 || field(bits, 30, 2) != 0 ||
                          field(bits, 46, 3) != 0 || field(bits, 52, 10) != 0;
  if (has_unused || has_base_offset) {
    throw Error(format("matrix descriptor 0x%016lx sets bits that are not understood",
                       static_cast<unsigned long>(bits)));
  }
}

const uint8_t* MatrixDescriptor::read_row(const SharedMemory& smem, uint32_t row,
                                          uint32_t k) const {
  const uint32_t group = start_ + row / 8 * stride_;
  const uint32_t address = swizzle_ == 0
                               ? group + row % 8 * kLineBytes + k / kLineBytes * leading_
                               : swizzle_address(group + row % 8 * swizzle_ + k, swizzle_);
  return smem.read_async(address, kLineBytes, "wgmma");
}

const uint8_t* MatrixDescriptor::read_column(const SharedMemory& smem, uint32_t x,
                                             uint32_t k) const {
  // Without a swizzle the two offsets change places.
  const uint32_t address =
      swizzle_ == 0 ? start_ + x / kLineBytes * stride_ + k / 8 * leading_ + k % 8 * kLineBytes
                    : swizzle_address(start_ + x / swizzle_ * leading_ + k / 8 * stride_ +
                                          k % 8 * swizzle_ + x % swizzle_,
                                      swizzle_);
  return smem.read_async(address, kLineBytes, "wgmma");
}

}  // namespace jdg::emu
