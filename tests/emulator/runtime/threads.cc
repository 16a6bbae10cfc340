// Identity of threads, and how they wait for each other.
#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

constexpr uint32_t kWholeWarp = 0xFFFFFFFF;

Cluster& cluster() { return *machine().self().cta->cluster; }

uint32_t num_threads(const Cluster& c) {
  return static_cast<uint32_t>(c.ctas.size() * c.ctas[0]->threads.size());
}

}  // namespace

Index thread_index() { return {machine().self().index, 0, 0}; }

Index block_index() {
  const Index3& block = machine().self().cta->block;
  return {block.x, block.y, block.z};
}

Index grid_size() {
  const Index3& grid = machine().self().cta->grid->launch.shape.grid;
  return {grid.x, grid.y, grid.z};
}

uint32_t cluster_rank() { return machine().self().cta->rank; }

uint32_t shared_address(const void* pointer) { return SharedMemory::address_of(pointer); }

void sync_warp(uint32_t mask) {
  JDG_ENTER();
  if (mask != kWholeWarp) throw Error("only whole warps are emulated");
  machine().settle_reductions();
  Warp& warp = *machine().self().warp;
  machine().meet(warp.meeting, 32, [&] { machine().tell_each_other(warp.meeting.waiting); });
}

void sync_threads() {
  JDG_ENTER();
  machine().settle_reductions();
  Cta& cta = *machine().self().cta;
  machine().meet(cta.meeting, static_cast<uint32_t>(cta.threads.size()),
                 [&] { machine().tell_each_other(cta.meeting.waiting); });
}

void cluster_arrive() {
  JDG_ENTER();
  machine().needs_one_device();
  Thread& self = machine().self();
  machine().meet(self.warp->meeting, 32, [] {});
  // Releases: what the thread signalled before is there after the barrier.
  machine().settle_signals();
  machine().settle_reductions();
  Cluster& c = cluster();
  if (++c.num_arrived < num_threads(c)) return;
  c.num_arrived = 0;
  ++c.phase;
  for (Thread* thread : c.waiting) machine().wake(thread);
  c.waiting.clear();
}

void cluster_wait() {
  JDG_ENTER();
  Cluster& c = cluster();
  Thread& self = machine().self();
  const uint64_t phase = self.num_cluster_waits++;
  while (c.phase <= phase) {
    c.waiting.push_back(&self);
    machine().block(format("%u more threads to arrive at the cluster's barrier",
                           num_threads(c) - c.num_arrived));
  }
}

void change_registers(bool acquire, uint32_t count) {
  JDG_ENTER();
  Thread& self = machine().self();
  Warp& warp = *self.warp;
  if (count < 24 || count > 256 || count % 8 != 0) {
    throw Error(format("setmaxnreg takes multiples of 8 in 24-256, not %u", count));
  }
  if (acquire ? count < warp.registers : count > warp.registers) {
    throw Error(
        format("setmaxnreg from %u to %u registers goes the wrong way", warp.registers, count));
  }
  machine().meet(warp.meeting, 32, [] {});
  Cta& cta = *self.cta;
  if (self.lane == 0 && !acquire) {
    cta.free_registers += (warp.registers - count) * 32;
    for (Thread* thread : cta.waiting_for_registers) machine().wake(thread);
    cta.waiting_for_registers.clear();
  }
  if (self.lane == 0 && acquire) {
    const uint32_t missing = (count - warp.registers) * 32;
    while (cta.free_registers < missing) {
      cta.waiting_for_registers.push_back(&self);
      machine().block(format("%u registers, of which %u are free", missing, cta.free_registers));
    }
    cta.free_registers -= missing;
  }
  machine().meet(warp.meeting, 32, [&] { warp.registers = count; });
}

void wait_for_previous_kernel() {
  JDG_ENTER();
  machine().self().previous_kernel_done = true;
}

void launch_next_kernel() { JDG_ENTER(); }

void trap() {
  JDG_ENTER();
  throw Error("the kernel traps");
}

}  // namespace jdg::emu
