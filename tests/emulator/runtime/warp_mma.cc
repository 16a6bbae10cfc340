// wgmma: each warp multiplies its 16 rows, in order, at any moment between issue and wait.
//
// The warps of a warpgroup are independent here: none may conclude from its own wait that the
// others are done with shared memory.
#include "runtime/warp_mma.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

constexpr uint32_t kPoisonWord = 0xFFFFFFFF;  // NaN as any type.

WarpMma& mma_of_warp() { return machine().self().warp->mma; }

// Register `i` of `lane` as (row of 16, column).
int sum_index(uint32_t lane, int i, int n) {
  const int row = static_cast<int>(lane) / 4 + i / 2 % 2 * 8;
  const int column = i / 4 * 8 + static_cast<int>(lane) % 4 * 2 + i % 2;
  return row * n + column;
}

// Adds a product to the sums, in the order of K.
void multiply(Accumulators& target, const std::vector<float>& left, const std::vector<float>& right,
              bool accumulate) {
  const int n = target.n;
  const int depth = static_cast<int>(left.size()) / kWarpRows;
  if (!accumulate) std::fill(target.sums.begin(), target.sums.end(), 0.0f);
  for (int row = 0; row < kWarpRows; ++row) {
    float* sums = &target.sums[static_cast<size_t>(row) * n];
    for (int k = 0; k < depth; ++k) {
      const float value = left[k * kWarpRows + row];
      const float* values = &right[static_cast<size_t>(k) * n];
      for (int column = 0; column < n; ++column) sums[column] += value * values[column];
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

// Takes the registers with A: until the wait they hold poison.
std::shared_ptr<Lent> lend(WarpMma& mma, const std::unique_ptr<Thread>* lanes) {
  for (const auto& lent : mma.lent) {
    if (lent->registers[0] == lanes[0]->operands.registers) return lent;
  }
  auto lent = std::make_shared<Lent>();
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t* registers = lanes[lane]->operands.registers;
    const auto& loaded = lanes[lane]->loaded;
    if (!mma.is_fenced || std::find(loaded.begin(), loaded.end(), registers) != loaded.end()) {
      throw Error("threads may still write the registers of A: wgmma.fence first");
    }
    if (!lanes[lane]->fiber.owns(registers, sizeof(lent->values[lane]))) {
      throw Error("the registers of A must be variables of the thread");
    }
    lent->registers[lane] = registers;
    std::copy_n(registers, 4, lent->values[lane].begin());
    std::fill_n(registers, 4, kPoisonWord);
  }
  mma.lent.push_back(lent);
  return lent;
}

// wgmma takes one descriptor of each operand for all threads.
void check_descriptors(const std::unique_ptr<Thread>* lanes) {
  const auto& first = lanes[0]->operands.values;
  for (uint32_t lane = 1; lane < 32; ++lane) {
    if (!std::equal(std::begin(first), std::end(first), lanes[lane]->operands.values)) {
      throw Error(format("lanes 0 and %u give different descriptors", lane));
    }
  }
}

void give_back(WarpMma& mma, const std::shared_ptr<Accumulators>& target) {
  if (--target->num_pending > 0) return;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < target->n / 2; ++i) {
      target->registers[lane][i] = target->sums[sum_index(lane, i, target->n)];
    }
  }
  std::erase(mma.in_flight, target);
}

void give_back(WarpMma& mma, const std::shared_ptr<Lent>& lent) {
  if (lent == nullptr || --lent->num_pending > 0) return;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 4; ++i) {
      if (lent->registers[lane][i] != kPoisonWord) {
        throw Error(format("lane %u writes registers of A while wgmma reads them", lane));
      }
      lent->registers[lane][i] = lent->values[lane][i];
    }
  }
  std::erase(mma.lent, lent);
}

}  // namespace

void mma_fence() {
  JDG_ENTER();
  machine().self().loaded.clear();
  machine().meet(machine().self().warp->meeting, 32, [] { mma_of_warp().is_fenced = true; });
}

void mma(MmaType type, float* accumulators, int n, const MmaOperand& a, const MmaOperand& b,
         bool accumulate) {
  JDG_ENTER();
  Thread& self = machine().self();
  self.operands.accumulators = accumulators;
  self.operands.registers = a.registers;
  const uint64_t descriptors[] = {a.descriptor, b.descriptor};
  std::memcpy(self.operands.values, descriptors, sizeof(descriptors));
  machine().meet(self.warp->meeting, 32, [&] {
    Cta& cta = *self.cta;
    WarpMma& mma = self.warp->mma;
    const auto* lanes = &cta.threads[self.index - self.lane];
    check_descriptors(lanes);
    auto target = take(mma, lanes, n);
    auto lent = a.registers == nullptr ? nullptr : lend(mma, lanes);
    const uint32_t first_row = self.index / 32 % 4 * kWarpRows;
    std::vector<EventPtr> after;
    if (mma.last != nullptr) after.push_back(mma.last);
    mma.last = machine().later(
        [=, &cta] {
          const auto left = lent == nullptr ? values_in_memory(cta.smem, type, a.descriptor,
                                                               a.transposed, first_row, kWarpRows)
                                            : values_in_registers(type, lent->values);
          const auto right = values_in_memory(cta.smem, type, b.descriptor, b.transposed, 0, n);
          multiply(*target, left, right, accumulate);
        },
        after);
    ++target->num_pending;
    if (lent != nullptr) ++lent->num_pending;
    mma.open.push_back({target, lent, mma.last});
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
        give_back(mma, product.target);
        give_back(mma, product.a);
      }
      mma.groups.erase(mma.groups.begin());
    }
    mma.is_fenced = false;
  });
}

}  // namespace jdg::emu
