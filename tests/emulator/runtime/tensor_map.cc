#include "runtime/tensor_map.h"

#include <algorithm>

#include "runtime/error.h"

namespace jdg::emu {

void TensorMap::check() const {
  const uint32_t element_size = element_bytes(element);
  uint64_t last = (dims[0] - 1) * element_size;
  for (int i = 0; i < rank; ++i) {
    if (dims[i] == 0) throw Error("a tensor map has an empty dimension");
    if (box[i] == 0 || box[i] > 256) throw Error("a box has 1-256 elements in each dimension");
    if (i == 0) continue;
    if (strides[i - 1] % 16 != 0) throw Error("strides of a tensor map are multiples of 16");
    last += (dims[i] - 1) * strides[i - 1];
  }
  if (reinterpret_cast<uintptr_t>(base) % 16 != 0) throw Error("TMA needs aligned buffers");
  if (row_bytes() % 16 != 0) throw Error("rows of a box are multiples of 16 bytes");
  if (swizzle > 0 && row_bytes() > static_cast<uint32_t>(swizzle)) {
    throw Error("rows of a box are no longer than the swizzle");
  }
  if (swizzle > 0 && row_bytes() < static_cast<uint32_t>(swizzle)) {
    throw Error("rows of a box that are shorter than the swizzle are not emulated");
  }
  if (last + element_size > buffer_bytes) {
    throw Error(format("a tensor map reaches %lu bytes far in a buffer of %lu",
                       static_cast<unsigned long>(last + element_size),
                       static_cast<unsigned long>(buffer_bytes)));
  }
}

uint32_t TensorMap::num_rows() const {
  uint32_t count = 1;
  for (int i = 1; i < rank; ++i) count *= box[i];
  return count;
}

TensorMap::Row TensorMap::row(const std::vector<int32_t>& coordinates, uint32_t index) const {
  uint8_t* data = base;
  for (int i = 1; i < rank; ++i) {
    const int64_t at = int64_t{coordinates[i]} + index % box[i];
    index /= box[i];
    if (at < 0 || at >= static_cast<int64_t>(dims[i])) return {nullptr, 0, 0};
    data += at * strides[i - 1];
  }
  const int64_t first = coordinates[0];
  const int64_t begin = std::clamp<int64_t>(-first, 0, box[0]);
  const int64_t end = std::clamp<int64_t>(static_cast<int64_t>(dims[0]) - first, begin, box[0]);
  const uint32_t size = element_bytes(element);
  return {data + first * size, static_cast<uint32_t>(begin * size),
          static_cast<uint32_t>(end * size)};
}

uint32_t TensorMap::swizzled(uint32_t address) const { return swizzle_address(address, swizzle); }

uint32_t swizzle_address(uint32_t address, int32_t width) {
  switch (width) {
    case 128:
      return address ^ ((address >> 7 & 7) << 4);
    case 64:
      return address ^ ((address >> 7 & 3) << 4);
    case 32:
      return address ^ ((address >> 7 & 1) << 4);
    default:
      return address;
  }
}

}  // namespace jdg::emu
