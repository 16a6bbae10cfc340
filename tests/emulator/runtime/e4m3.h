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

// Rounds to nearest even; what is beyond 448 becomes 448, a NaN 0x7F.
inline uint8_t e4m3_bits(float x) {
  if (std::isnan(x)) return 0x7F;
  const uint8_t sign = std::signbit(x) ? 0x80 : 0;
  const float magnitude = std::fabs(x);
  if (magnitude >= 448) return sign | 0x7E;
  int exponent;
  std::frexp(magnitude, &exponent);
  // Steps of 2^-9 up to 2^-6, then eight to a power of two.
  if (magnitude < 0x1p-6f) exponent = -5;
  const int code = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 4 - exponent)));
  // A code of 16 steps is the first of the next power of two, and adds up to just that.
  return static_cast<uint8_t>(sign | (code + (exponent + 5) * 8));
}

}  // namespace jdg::emu
