// Element types of a tensor map.
#pragma once

#include <cstdint>

namespace jdg::emu {

// In the order of CUtensorMapDataType.
enum class Element : int32_t {
  kUint8,
  kUint16,
  kUint32,
  kInt32,
  kUint64,
  kInt64,
  kFloat16,
  kFloat32,
  kFloat64,
  kBfloat16
};

inline uint32_t element_bytes(Element element) {
  constexpr uint32_t kBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2};
  return kBytes[static_cast<int>(element)];
}

// Adds `bytes` bytes of elements at `source` to those at `target`. Throws if TMA cannot, or if it
// is not emulated.
void add_elements(Element element, uint8_t* target, const uint8_t* source, uint32_t bytes);

}  // namespace jdg::emu
