// The state of an mbarrier.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace jdg::emu {

struct Thread;

struct Barrier {
  uint32_t expected = 0;
  uint32_t pending = 0;
  int64_t bytes = 0;        // Expected and not yet written; negative if written first.
  uint64_t phase = 0;       // Phases completed; the parity of the one under way.
  bool is_visible = false;  // To other CTAs and TMA.
  std::vector<Thread*> waiting;
  std::string expected_by = "nobody";  // Who last made it expect bytes.

  // What TMA wrote: address -> bytes, and the phase that it belongs to.
  struct Written {
    uint32_t count;
    uint64_t phase;
  };
  std::map<uint32_t, Written> written;

  // Notes that TMA wrote `count` bytes; what an earlier phase brought to the same place is gone.
  void record(uint32_t address, uint32_t count, uint64_t phase);

  uint32_t parity() const { return phase % 2; }
};

}  // namespace jdg::emu
