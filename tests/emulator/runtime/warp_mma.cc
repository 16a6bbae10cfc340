// wgmma: each warp multiplies its 16 rows, in order, at any moment between issue and wait.
//
// The warps of a warpgroup are independent here: none may conclude from its own wait that the
// others are done with shared memory.
#include "runtime/warp_mma.h"

#include <cmath>
#include <limits>

#include "runtime/api.h"
#include "runtime/e4m3.h"
#include "runtime/machine.h"
#include "runtime/matrix_descriptor.h"

namespace jdg::emu {
namespace {

constexpr int kDepth = 32;  // Of one e4m3 product.

WarpMma& mma_of_warp() { return machine().self().warp->mma; }

// Register `i` of `lane` as (row of 16, column).
int sum_index(uint32_t lane, int i, int n) {
  const int row = static_cast<int>(lane) / 4 + i / 2 % 2 * 8;
  const int column = i / 4 * 8 + static_cast<int>(lane) % 4 * 2 + i % 2;
  return row * n + column;
}

void multiply(const SharedMemory& smem, Accumulators& target, uint64_t a, uint64_t b, int first_row,
              bool accumulate) {
  const int n = target.n;
  float left[kWarpRows][kDepth];
  std::vector<float> right(static_cast<size_t>(kDepth) * n);
  const MatrixDescriptor a_matrix(a);
  const MatrixDescriptor b_matrix(b);
  for (int row = 0; row < kWarpRows; ++row) {
    for (int k = 0; k < kDepth; k += 16) {
      const uint8_t* bytes = a_matrix.read(smem, first_row + row, k);
      for (int i = 0; i < 16; ++i) left[row][k + i] = e4m3_value(bytes[i]);
    }
  }
  for (int row = 0; row < n; ++row) {
    for (int k = 0; k < kDepth; k += 16) {
      const uint8_t* bytes = b_matrix.read(smem, row, k);
      for (int i = 0; i < 16; ++i) {
        right[static_cast<size_t>(k + i) * n + row] = e4m3_value(bytes[i]);
      }
    }
  }
  if (!accumulate) std::fill(target.sums.begin(), target.sums.end(), 0.0f);
  for (int row = 0; row < kWarpRows; ++row) {
    float* sums = &target.sums[static_cast<size_t>(row) * n];
    for (int k = 0; k < kDepth; ++k) {
      const float* values = &right[static_cast<size_t>(k) * n];
      for (int column = 0; column < n; ++column) sums[column] += left[row][k] * values[column];
    }
  }
}

// Takes the registers from the threads of a warp.
std::shared_ptr<Accumulators> take(WarpMma& mma, const std::unique_ptr<Thread>* lanes, int n) {
  for (const auto& target : mma.in_flight) {
    if (target->registers[0] == lanes[0]->operands.accumulators) return target;
  }
  if (!mma.is_fenced) throw Error("threads may still write these accumulators: wgmma.fence first");
  auto target = std::make_shared<Accumulators>();
  target->n = n;
  target->sums.resize(static_cast<size_t>(kWarpRows) * n);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    float* registers = lanes[lane]->operands.accumulators;
    if (!lanes[lane]->fiber.owns(registers, sizeof(float) * n / 2)) {
      throw Error("accumulators must be variables of the thread");
    }
    target->registers[lane] = registers;
    for (int i = 0; i < n / 2; ++i) {
      target->sums[sum_index(lane, i, n)] = registers[i];
      registers[i] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  mma.in_flight.push_back(target);
  return target;
}

void give_back(WarpMma& mma, const std::shared_ptr<Accumulators>& target) {
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < target->n / 2; ++i) {
      target->registers[lane][i] = target->sums[sum_index(lane, i, target->n)];
    }
  }
  std::erase(mma.in_flight, target);
}

}  // namespace

void mma_fence() {
  JDG_ENTER();
  machine().meet(machine().self().warp->meeting, 32, [] { mma_of_warp().is_fenced = true; });
}

void mma_e4m3(float* accumulators, int n, uint64_t a, uint64_t b, bool accumulate) {
  JDG_ENTER();
  Thread& self = machine().self();
  self.operands.accumulators = accumulators;
  machine().meet(self.warp->meeting, 32, [&] {
    Cta& cta = *self.cta;
    WarpMma& mma = *&self.warp->mma;
    auto target = take(mma, &cta.threads[self.index - self.lane], n);
    const int first_row = static_cast<int>(self.index / 32 % 4) * kWarpRows;
    std::vector<EventPtr> after;
    if (mma.last != nullptr) after.push_back(mma.last);
    mma.last = machine().later(
        [=, &cta] { multiply(cta.smem, *target, a, b, first_row, accumulate); }, after);
    ++target->num_pending;
    mma.open.push_back({target, mma.last});
  });
}

void mma_commit() {
  JDG_ENTER();
  machine().meet(machine().self().warp->meeting, 32, [] {
    WarpMma& mma = mma_of_warp();
    mma.groups.push_back(std::move(mma.open));
    mma.open.clear();
  });
}

void mma_wait(uint32_t pending) {
  JDG_ENTER();
  machine().meet(machine().self().warp->meeting, 32, [pending] {
    WarpMma& mma = mma_of_warp();
    while (mma.groups.size() > pending) {
      for (const Product& product : mma.groups.front()) {
        machine().events().fire(product.event);
        if (--product.target->num_pending == 0) give_back(mma, product.target);
      }
      mma.groups.erase(mma.groups.begin());
    }
    mma.is_fenced = false;
  });
}

}  // namespace jdg::emu
