// mbarriers: counted arrivals and bytes; a phase completes when neither is outstanding.
#include "runtime/barrier.h"

#include "runtime/api.h"
#include "runtime/barrier_operations.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

constexpr int64_t kMaxBytes = (1 << 20) - 1;

void settle(Barrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  ++barrier.phase;
  barrier.pending = barrier.expected;
  // Woken threads look again: a phase that two completions later has the same parity is missed.
  for (Thread* thread : barrier.waiting) machine().wake(thread);
  barrier.waiting.clear();
}

void check_initialised_by_others(const Barrier& barrier, const Cta& cta, uint32_t address) {
  if (barrier.is_visible || cta.index == machine().self().cta->index) return;
  throw Error(format("the initialisation of mbarrier 0x%x is not fenced", address));
}

// What earlier phases brought is dead once the producer expects new bytes.
void poison_released(Cta& cta, Barrier& barrier) {
  for (auto it = barrier.written.begin(); it != barrier.written.end();) {
    if (it->second.phase == barrier.phase) {
      ++it;
      continue;
    }
    cta.smem.poison(it->first, it->second.count);
    it = barrier.written.erase(it);
  }
}

void expect(Cta& cta, uint32_t address, uint32_t bytes) {
  Barrier& barrier = barrier_at(cta, address);
  poison_released(cta, barrier);
  barrier.expected_by = machine().where(machine().self());
  barrier.bytes += bytes;
  if (barrier.bytes > kMaxBytes) throw Error("the transaction count of an mbarrier overflows");
}

}  // namespace

void Barrier::record(uint32_t address, uint32_t count, uint64_t new_phase) {
  const uint32_t end = address + count;
  const auto old = written;
  for (const auto& [first, entry] : old) {
    const uint32_t last = first + entry.count;
    if (entry.phase == new_phase || last <= address || first >= end) continue;
    written.erase(first);
    if (first < address) written[first] = {address - first, entry.phase};
    if (last > end) written[end] = {last - end, entry.phase};
  }
  written[address] = {count, new_phase};
}

Barrier& barrier_at(Cta& cta, uint32_t address) {
  if (cta.num_live == 0) {
    throw Error(format("signals mbarrier 0x%x of CTA %u, which has ended", address, cta.index));
  }
  const auto found = cta.barriers.find(address);
  if (found == cta.barriers.end()) {
    throw Error(
        format("there is no mbarrier at shared address 0x%x of CTA %u", address, cta.index));
  }
  return found->second;
}

void arrive(Cta& cta, uint32_t address) {
  Barrier& barrier = barrier_at(cta, address);
  if (barrier.pending == 0) {
    throw Error(format("mbarrier 0x%x of CTA %u gets more than its %u arrivals in a phase", address,
                       cta.index, barrier.expected));
  }
  --barrier.pending;
  settle(barrier);
}

void complete_bytes(Cta& cta, uint32_t address, uint32_t bytes, uint64_t phase) {
  Barrier& barrier = barrier_at(cta, address);
  if (barrier.phase != phase) {
    throw Error(
        format("%u bytes come to mbarrier 0x%x of CTA %u in phase %lu, but were sent for "
               "phase %lu: it expects too few",
               bytes, address, cta.index, static_cast<unsigned long>(barrier.phase),
               static_cast<unsigned long>(phase)));
  }
  barrier.bytes -= bytes;
  if (barrier.bytes < -kMaxBytes) throw Error("the transaction count of an mbarrier overflows");
  settle(barrier);
}

void barrier_init(uint32_t address, uint32_t arrivals) {
  JDG_ENTER();
  machine().needs_one_device();
  Cta& cta = *machine().self().cta;
  cta.smem.reserve_barrier(address);
  Barrier barrier;
  barrier.expected = barrier.pending = arrivals;
  if (arrivals == 0) throw Error("an mbarrier needs at least one arrival");
  if (!cta.barriers.emplace(address, barrier).second) {
    throw Error(format("mbarrier 0x%x is initialised twice", address));
  }
}

void barrier_init_fence() {
  JDG_ENTER();
  for (auto& [address, barrier] : machine().self().cta->barriers) barrier.is_visible = true;
}

void barrier_arrive(uint32_t address, uint32_t bytes) {
  JDG_ENTER();
  Cta& cta = *machine().self().cta;
  if (bytes > 0) expect(cta, address, bytes);
  machine().settle_reductions();
  arrive(cta, address);
}

void barrier_arrive_count(uint32_t address, uint32_t count) {
  JDG_ENTER();
  machine().settle_reductions();
  for (uint32_t i = 0; i < count; ++i) arrive(*machine().self().cta, address);
}

uint64_t barrier_arrive_no_complete(uint32_t address, uint32_t count) {
  JDG_ENTER();
  Barrier& barrier = barrier_at(*machine().self().cta, address);
  if (count >= barrier.pending) {
    throw Error(format("%u arrivals that must not complete a phase, of %u that it waits for", count,
                       barrier.pending));
  }
  machine().settle_reductions();
  const uint64_t state = barrier.pending;
  barrier.pending -= count;
  return state;
}

void barrier_expect(uint32_t address, uint32_t bytes) {
  JDG_ENTER();
  expect(*machine().self().cta, address, bytes);
}

void barrier_complete(uint32_t address, uint32_t bytes) {
  JDG_ENTER();
  Cta& cta = *machine().self().cta;
  complete_bytes(cta, address, bytes, barrier_at(cta, address).phase);
}

void barrier_invalidate(uint32_t address) {
  JDG_ENTER();
  Cta& cta = *machine().self().cta;
  if (!barrier_at(cta, address).waiting.empty()) throw Error("a thread waits for this mbarrier");
  cta.barriers.erase(address);
  cta.smem.free_barrier(address);
}

void barrier_arrive_remote(uint32_t address, uint32_t rank) {
  JDG_ENTER();
  Cta& cta = machine().peer(rank);
  check_initialised_by_others(barrier_at(cta, address), cta, address);
  auto& signals = machine().self().signals;
  std::erase_if(signals, [](const EventPtr& signal) { return signal->done(); });
  signals.push_back(machine().later([&cta, address] { arrive(cta, address); }));
}

bool barrier_test(uint32_t address, uint32_t parity) {
  JDG_ENTER_POLL();
  const Barrier& barrier = barrier_at(*machine().self().cta, address);
  // It may look a moment before a completion that is already there.
  const bool done = barrier.parity() != parity && !machine().random().chance(25);
  if (!done) machine().polled();
  return done;
}

bool barrier_try(uint32_t address, uint32_t parity) {
  JDG_ENTER();
  Thread& self = machine().self();
  Barrier& barrier = barrier_at(*self.cta, address);
  if (barrier.parity() != parity) return true;
  barrier.waiting.push_back(&self);
  const uint64_t phase = barrier.phase;
  machine().block(format("mbarrier 0x%x to complete parity %u", address, parity));
  if (barrier.phase > phase + 1) {
    throw Error(format("mbarrier 0x%x is used again too early: while this thread waited for phase "
                       "%lu, phase %lu began",
                       address, static_cast<unsigned long>(phase),
                       static_cast<unsigned long>(barrier.phase)) +
                "\n  bytes last expected by " + barrier.expected_by);
  }
  return true;
}

}  // namespace jdg::emu
