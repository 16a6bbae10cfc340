#include "runtime/element.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "runtime/error.h"

namespace jdg::emu {
namespace {

struct Bfloat16 {
  uint16_t bits;

  Bfloat16 operator+(Bfloat16 other) const {
    const float sum = value() + other.value();
    if (std::isnan(sum)) return {0x7FFF};
    const uint32_t word = std::bit_cast<uint32_t>(sum);
    return {static_cast<uint16_t>((word + 0x7FFF + (word >> 16 & 1)) >> 16)};
  }

  float value() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

template <typename T>
void add(uint8_t* target, const uint8_t* source, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i += sizeof(T)) {
    T x, y;
    std::memcpy(&x, target + i, sizeof(T));
    std::memcpy(&y, source + i, sizeof(T));
    x = x + y;
    std::memcpy(target + i, &x, sizeof(T));
  }
}

}  // namespace

void add_elements(Element element, uint8_t* target, const uint8_t* source, uint32_t bytes) {
  switch (element) {
    case Element::kUint32:
    case Element::kInt32:
      return add<uint32_t>(target, source, bytes);
    case Element::kUint64:
      return add<uint64_t>(target, source, bytes);
    case Element::kFloat32:
      return add<float>(target, source, bytes);
    case Element::kBfloat16:
      return add<Bfloat16>(target, source, bytes);
    default:
      throw Error("sums of this element type are not emulated, or TMA has none");
  }
}

}  // namespace jdg::emu
