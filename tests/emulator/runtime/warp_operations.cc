// Votes, shuffles and elections of whole warps.
#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {

uint32_t lane_index() { return machine().self().lane; }

uint32_t shuffle(uint32_t value, uint32_t source) {
  JDG_ENTER();
  Thread& self = machine().self();
  self.operands.values[0] = value;
  self.operands.values[1] = source;
  machine().meet(self.warp->meeting, 32, [&] {
    const auto* lanes = &self.cta->threads[self.index - self.lane];
    for (uint32_t lane = 0; lane < 32; ++lane) {
      Operands& operands = lanes[lane]->operands;
      operands.values[2] = lanes[operands.values[1]]->operands.values[0];
    }
  });
  return self.operands.values[2];
}

uint32_t ballot(bool mine) {
  JDG_ENTER();
  Thread& self = machine().self();
  self.operands.values[0] = mine;
  machine().meet(self.warp->meeting, 32, [&] {
    const auto* lanes = &self.cta->threads[self.index - self.lane];
    uint32_t votes = 0;
    for (uint32_t lane = 0; lane < 32; ++lane) votes |= lanes[lane]->operands.values[0] << lane;
    for (uint32_t lane = 0; lane < 32; ++lane) lanes[lane]->operands.values[1] = votes;
  });
  return self.operands.values[1];
}

uint32_t match_any(uint32_t value) {
  JDG_ENTER();
  Thread& self = machine().self();
  self.operands.values[0] = value;
  machine().meet(self.warp->meeting, 32, [&] {
    const auto* lanes = &self.cta->threads[self.index - self.lane];
    for (uint32_t lane = 0; lane < 32; ++lane) {
      Operands& operands = lanes[lane]->operands;
      operands.values[1] = 0;
      for (uint32_t other = 0; other < 32; ++other) {
        const bool same = lanes[other]->operands.values[0] == operands.values[0];
        operands.values[1] |= static_cast<uint32_t>(same) << other;
      }
    }
  });
  return self.operands.values[1];
}

// Any lane, but one for the whole launch.
bool elect() {
  JDG_ENTER();
  machine().meet(machine().self().warp->meeting, 32, [] {});
  return machine().self().lane == machine().elected_lane();
}

}  // namespace jdg::emu
