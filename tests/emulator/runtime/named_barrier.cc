// Barriers 1-15 of a CTA.
#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

constexpr uint32_t kNumBarriers = 16;

void check(const NamedBarrier& barrier, const Cta& cta, uint32_t id, uint32_t threads) {
  if (id == 0 || id >= kNumBarriers) {
    throw Error(format("there is no barrier %u: they are 1-15, and 0 is __syncthreads", id));
  }
  if (threads == 0 || threads % 32 != 0 || threads > cta.threads.size()) {
    throw Error(
        format("barrier %u for %u threads of a CTA of %zu", id, threads, cta.threads.size()));
  }
  if (barrier.num_arrived > 0 && barrier.threads != threads) {
    throw Error(format("barrier %u for %u threads, but others came to it for %u", id, threads,
                       barrier.threads));
  }
}

}  // namespace

void named_barrier(uint32_t id, uint32_t threads, bool waits) {
  JDG_ENTER();
  machine().needs_one_device();
  machine().settle_reductions();
  Thread& self = machine().self();
  machine().meet(self.warp->meeting, 32, [] {});
  NamedBarrier& barrier = self.cta->named_barriers[id % kNumBarriers];
  check(barrier, *self.cta, id, threads);
  barrier.threads = threads;
  const uint64_t phase = barrier.phase;
  if (++barrier.num_arrived == threads) {
    barrier.num_arrived = 0;
    ++barrier.phase;
    for (Thread* thread : barrier.waiting) machine().wake(thread);
    barrier.waiting.clear();
  }
  while (waits && barrier.phase == phase) {
    barrier.waiting.push_back(&self);
    machine().block(format("%u more threads at barrier %u", threads - barrier.num_arrived, id));
  }
}

}  // namespace jdg::emu
