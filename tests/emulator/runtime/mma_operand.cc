#include "runtime/mma_operand.h"

#include <bit>
#include <cstring>

#include "runtime/e4m3.h"
#include "runtime/matrix_descriptor.h"

namespace jdg::emu {
namespace {

// Rows of kDepthBytes bytes.
using Bytes = std::vector<uint8_t>;

Bytes read_rows(const SharedMemory& smem, const MatrixDescriptor& matrix, uint32_t first,
                uint32_t count) {
  Bytes rows(static_cast<size_t>(count) * kDepthBytes);
  for (uint32_t row = 0; row < count; ++row) {
    for (uint32_t k = 0; k < kDepthBytes; k += kLineBytes) {
      std::memcpy(&rows[row * kDepthBytes + k], matrix.read_row(smem, first + row, k), kLineBytes);
    }
  }
  return rows;
}

// As above of an MN-major matrix of elements of 2 bytes.
Bytes read_columns(const SharedMemory& smem, const MatrixDescriptor& matrix, uint32_t first,
                   uint32_t count) {
  Bytes rows(static_cast<size_t>(count) * kDepthBytes);
  for (uint32_t k = 0; k < kDepthBytes / 2; ++k) {
    for (uint32_t row = 0; row < count; row += kLineBytes / 2) {
      const uint8_t* line = matrix.read_column(smem, (first + row) * 2, k);
      for (uint32_t i = 0; i < kLineBytes / 2; ++i) {
        std::memcpy(&rows[(row + i) * kDepthBytes + k * 2], line + i * 2, 2);
      }
    }
  }
  return rows;
}

template <typename T>
T load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

float value_at(MmaType type, const uint8_t* bytes) {
  switch (type) {
    case MmaType::kE4m3:
      return e4m3_value(*bytes);
    case MmaType::kBf16:
      return std::bit_cast<float>(uint32_t{load<uint16_t>(bytes)} << 16);
    default:
      // The tensor cores drop 13 bits of the mantissa.
      return std::bit_cast<float>(load<uint32_t>(bytes) & 0xFFFFE000);
  }
}

std::vector<float> decode(MmaType type, const Bytes& rows) {
  const size_t count = rows.size() / kDepthBytes;
  const int size = element_bytes(type);
  std::vector<float> values(count * depth(type));
  for (size_t row = 0; row < count; ++row) {
    for (int k = 0; k < depth(type); ++k) {
      values[k * count + row] = value_at(type, &rows[row * kDepthBytes + k * size]);
    }
  }
  return values;
}

}  // namespace

std::vector<float> values_in_memory(const SharedMemory& smem, MmaType type, uint64_t descriptor,
                                    bool transposed, uint32_t first, uint32_t count) {
  const MatrixDescriptor matrix(descriptor);
  return decode(type, transposed ? read_columns(smem, matrix, first, count)
                                 : read_rows(smem, matrix, first, count));
}

std::vector<float> values_in_registers(MmaType type, const Fragment& fragment) {
  Bytes rows(kWarpRows * kDepthBytes);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = lane / 4 + i % 2 * 8;
      const uint32_t k = lane % 4 * 4 + i / 2 * kLineBytes;
      std::memcpy(&rows[row * kDepthBytes + k], &fragment[lane][i], 4);
    }
  }
  return decode(type, rows);
}

}  // namespace jdg::emu
