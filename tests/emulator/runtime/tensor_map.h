// What a CUtensorMap says: a tensor in global memory and a box of it.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/element.h"

namespace jdg::emu {

constexpr int kMaxRank = 5;

struct TensorMap {
  uint8_t* base;
  uint64_t buffer_bytes;
  int32_t rank;
  Element element;
  uint64_t dims[kMaxRank];         // Elements, innermost first.
  uint64_t strides[kMaxRank - 1];  // Bytes, of dimension 1 and up.
  uint32_t box[kMaxRank];
  int32_t swizzle;  // Bytes: 0, 32, 64 or 128.

  // Throws what the driver would refuse, and maps that reach out of their buffer.
  void check() const;

  uint32_t row_bytes() const { return box[0] * element_bytes(element); }
  uint32_t num_rows() const;
  uint32_t box_bytes() const { return row_bytes() * num_rows(); }

  // One row of the box at `coordinates`: where it is, or null if it lies outside, and which of its
  // bytes lie inside.
  struct Row {
    uint8_t* data;
    uint32_t begin;
    uint32_t end;
  };
  Row row(const std::vector<int32_t>& coordinates, uint32_t index) const;

  // Shared address of the 16 bytes that a linear layout has at `address`.
  uint32_t swizzled(uint32_t address) const;
};

// Bits of an address that a swizzle of this width exchanges.
uint32_t swizzle_address(uint32_t address, int32_t width);

}  // namespace jdg::emu
