// A warp's part of its warpgroup's matrix products under way.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/events.h"

namespace jdg::emu {

constexpr int kWarpRows = 16;

// Accumulators of a warp that belong to the tensor cores until a wait gives them back.
struct Accumulators {
  std::array<float*, 32> registers;  // Of each lane.
  int n = 0;
  std::vector<float> sums;  // [16, n], what the registers will hold.
  int num_pending = 0;      // Products that are issued and not waited for.
};

struct Product {
  std::shared_ptr<Accumulators> target;
  EventPtr event;
};

struct WarpMma {
  bool is_fenced = false;
  uint64_t num_issued = 0;
  EventPtr last;  // Products are done in order.
  std::vector<Product> open;
  std::vector<std::vector<Product>> groups;
  std::vector<std::shared_ptr<Accumulators>> in_flight;
};

}  // namespace jdg::emu
