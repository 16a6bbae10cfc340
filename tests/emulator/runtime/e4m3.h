// Values of 8-bit floats: 1 sign, 4 exponent and 3 mantissa bits, no infinities.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

namespace jdg::emu {

inline float e4m3_of_bits(int bits) {
  const int exponent = bits >> 3 & 15;
  const int mantissa = bits & 7;
  const float sign = bits & 0x80 ? -1.0f : 1.0f;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -9);
  return sign * std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
}

inline float e4m3_value(uint8_t bits) {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values;
    for (int i = 0; i < 256; ++i) values[i] = e4m3_of_bits(i);
    return values;
  }();
  return table[bits];
}

}  // namespace jdg::emu
