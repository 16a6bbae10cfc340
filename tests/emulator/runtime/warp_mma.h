// A warp's part of its warpgroup's matrix products under way.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/events.h"
#include "runtime/mma_operand.h"

namespace jdg::emu {

// Accumulators of a warp that belong to the tensor cores until a wait gives them back.
struct Accumulators {
  std::array<float*, 32> registers;  // Of each lane.
  int n = 0;
  std::vector<float> sums;  // [16, n], what the registers will hold.
  int num_pending = 0;      // Products that are issued and not waited for.
};

// Registers with A that the tensor cores read until a wait gives them back.
struct Lent {
  std::array<uint32_t*, 32> registers;  // Of each lane.
  Fragment values;
  int num_pending = 0;
};

struct Product {
  std::shared_ptr<Accumulators> target;
  std::shared_ptr<Lent> a;  // Null if A is in shared memory.
  EventPtr event;
};

struct WarpMma {
  bool is_fenced = false;
  EventPtr last;  // Products are done in order.
  std::vector<Product> open;
  std::vector<std::vector<Product>> groups;
  std::vector<std::shared_ptr<Accumulators>> in_flight;
  std::vector<std::shared_ptr<Lent>> lent;
};

}  // namespace jdg::emu
