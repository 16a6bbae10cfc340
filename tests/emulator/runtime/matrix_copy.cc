// Matrices of 8 x 8 elements of 16 bits between a warp's registers and shared memory.
//
// Lane i's address is row i % 8 of matrix i / 8; its registers hold elements 2 (i % 4) and the next
// of row i / 4 of each matrix or, transposed, of column i / 4.
#include <cstring>

#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

constexpr uint32_t kRowBytes = 16;

// One matrix as its rows.
struct Matrix {
  uint16_t elements[8][8];

  // Element `half` of the lane's register.
  uint16_t& of_lane(uint32_t lane, uint32_t half, bool transposed) {
    const uint32_t line = lane / 4;
    const uint32_t place = lane % 4 * 2 + half;
    return transposed ? elements[place][line] : elements[line][place];
  }
};

void scatter(Matrix& matrix, bool transposed, uint32_t lane, uint32_t value) {
  for (uint32_t half = 0; half < 2; ++half) {
    matrix.of_lane(lane, half, transposed) = static_cast<uint16_t>(value >> half * 16);
  }
}

uint32_t gather(Matrix& matrix, bool transposed, uint32_t lane) {
  return matrix.of_lane(lane, 0, transposed) | matrix.of_lane(lane, 1, transposed) << 16;
}

}  // namespace

void store_matrices(uint32_t address, std::initializer_list<uint32_t> registers, bool transposed) {
  JDG_ENTER();
  Thread& self = machine().self();
  const uint32_t count = static_cast<uint32_t>(registers.size());
  self.operands.address = address;
  std::copy(registers.begin(), registers.end(), self.operands.values);
  machine().meet(self.warp->meeting, 32, [&] {
    auto* lanes = &self.cta->threads[self.index - self.lane];
    for (uint32_t i = 0; i < count; ++i) {
      Matrix matrix;
      for (uint32_t lane = 0; lane < 32; ++lane) {
        scatter(matrix, transposed, lane, lanes[lane]->operands.values[i]);
      }
      for (uint32_t row = 0; row < 8; ++row) {
        const uint32_t target = lanes[i * 8 + row]->operands.address;
        self.cta->smem.check(target, kRowBytes, kRowBytes, "stmatrix");
        self.cta->smem.write_generic(target, matrix.elements[row], kRowBytes, "stmatrix");
        // Lanes wrote what they held: only their own fences show it to TMA.
        for (uint32_t x = 0; x < 8; ++x) {
          const uint32_t lane = transposed ? x * 4 + row / 2 : row * 4 + x / 2;
          lanes[lane]->unfenced.push_back({target + x * 2, 2});
        }
      }
    }
  });
}

void load_matrices(uint32_t address, uint32_t* registers, uint32_t count, bool transposed) {
  JDG_ENTER();
  Thread& self = machine().self();
  self.operands.address = address;
  self.operands.registers = registers;
  self.loaded.push_back(registers);
  machine().meet(self.warp->meeting, 32, [&] {
    auto* lanes = &self.cta->threads[self.index - self.lane];
    for (uint32_t i = 0; i < count; ++i) {
      Matrix matrix;
      for (uint32_t row = 0; row < 8; ++row) {
        const uint32_t source = lanes[i * 8 + row]->operands.address;
        self.cta->smem.check(source, kRowBytes, kRowBytes, "ldmatrix");
        std::memcpy(matrix.elements[row], self.cta->smem.read_generic(source), kRowBytes);
      }
      for (uint32_t lane = 0; lane < 32; ++lane) {
        lanes[lane]->operands.registers[i] = gather(matrix, transposed, lane);
      }
    }
  });
}

}  // namespace jdg::emu
