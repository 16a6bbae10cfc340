#include "runtime/matrix_descriptor.h"

#include "runtime/error.h"
#include "runtime/tensor_map.h"

namespace jdg::emu {
namespace {

constexpr int32_t kSwizzles[] = {0, 128, 64, 32};

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

const uint8_t* MatrixDescriptor::read(const SharedMemory& smem, int row, int k) const {
  const uint32_t group = start_ + static_cast<uint32_t>(row / 8) * stride_;
  const uint32_t in_group = static_cast<uint32_t>(row % 8);
  const uint32_t depth = static_cast<uint32_t>(k);
  const uint32_t address = swizzle_ == 0
                               ? group + in_group * 16 + depth / 16 * leading_
                               : swizzle_address(group + in_group * swizzle_ + depth, swizzle_);
  return smem.read_async(address, 16, "wgmma");
}

}  // namespace jdg::emu
