// Launches of one or more devices: when each begins and ends, and who must wait for whom.
#include <algorithm>

#include "runtime/machine.h"

namespace jdg::emu {
namespace {

uint32_t num_ctas(const Shape& shape) { return shape.grid.x * shape.grid.y * shape.grid.z; }

// Agents of a device that come before this one's: its threads have one number in all launches,
// since those follow each other.
uint32_t first_agent(const std::vector<Device>& devices, uint32_t device) {
  uint32_t first = 0;
  for (uint32_t i = 0; i < device; ++i) {
    uint32_t most = 0;
    for (const Launch& launch : devices[i].launches) {
      most = std::max(most, num_ctas(launch.shape) * launch.shape.threads);
    }
    first += most;
  }
  return first;
}

}  // namespace

void Machine::start(uint32_t index) {
  Device& device = devices_[index];
  device.grid = std::make_unique<Grid>();
  Grid& grid = *device.grid;
  grid.launch = device.launches[device.num_started++];
  grid.device = index;
  const Shape& shape = grid.launch.shape;
  const uint32_t registers = std::min(kRegistersOfSm / shape.threads / 8 * 8, 255u);
  const uint32_t agents = has_devices() ? first_agent(devices_, index) : 0;
  for (uint32_t i = 0; i < num_ctas(shape); ++i) {
    auto cta = std::make_unique<Cta>(shape.smem_bytes, (shape.threads + 31) / 32);
    cta->index = i;
    cta->grid = &grid;
    cta->block = {i % shape.grid.x, i / shape.grid.x % shape.grid.y,
                  i / shape.grid.x / shape.grid.y};
    cta->rank = i % shape.cluster;
    cta->num_live = shape.threads;
    if (cta->rank == 0) grid.clusters.push_back(std::make_unique<Cluster>());
    cta->cluster = grid.clusters.back().get();
    cta->cluster->ctas.push_back(cta.get());
    for (Warp& warp : cta->warps) warp.registers = registers;
    for (uint32_t t = 0; t < shape.threads; ++t) {
      auto thread = std::make_unique<Thread>();
      thread->cta = cta.get();
      thread->warp = &cta->warps[t / 32];
      thread->index = t;
      thread->lane = t % 32;
      if (has_devices()) {
        Knowledge& knowledge = thread->knowledge;
        knowledge.agent = agents + i * shape.threads + t;
        knowledge.device = index;
        knowledge.now = device.known;
        knowledge.now.advance(knowledge.agent);
      }
      thread->fiber.create(&Machine::thread_main, thread.get());
      cta->runnable.push_back(thread.get());
      cta->threads.push_back(std::move(thread));
    }
    ctas_.push_back(cta.get());
    grid.ctas.push_back(std::move(cta));
  }
}

// Ends what has run, and starts what comes next on some devices: later than it could, by chance.
void Machine::start_some() {
  for (uint32_t i = 0; i < devices_.size(); ++i) {
    Device& device = devices_[i];
    if (device.held_until > num_steps_) continue;
    if (device.grid != nullptr) {
      const auto& ctas = device.grid->ctas;
      if (!has_devices() ||
          std::any_of(ctas.begin(), ctas.end(), [](auto& cta) { return cta->num_live > 0; })) {
        continue;
      }
      end(device);
    }
    if (device.num_started < device.launches.size()) start(i);
  }
}

void Machine::end(Device& device) {
  Grid& grid = *device.grid;
  check_end(grid);
  for (auto& cta : grid.ctas) {
    for (auto& thread : cta->threads) {
      for (const StrongStore& store : thread->stores) events_.fire(store.event);
      device.known.join(thread->knowledge.now);
    }
    if (active_ == cta.get()) active_ = nullptr;
    std::erase(ctas_, cta.get());
  }
  device.grid.reset();
}

// For a while the others go on alone, by chance beyond all that does not wait for this device.
void Machine::hold_some() {
  if (!random_.chance(3)) return;
  Device& device = devices_[random_.below(devices_.size())];
  device.held_until = num_steps_ + (uint64_t{1} << random_.below(16));
  if (!some_can_run()) device.held_until = 0;
}

// Returns whether some device was held.
bool Machine::release_devices() {
  bool some = false;
  for (Device& device : devices_) {
    some = some || device.held_until > num_steps_;
    device.held_until = 0;
  }
  if (some) start_some();
  return some;
}

// Whether all threads that can run have looked again since the last time, in vain.
bool Machine::all_poll() {
  for (const Cta* cta : ctas_) {
    for (const Thread* thread : cta->runnable) {
      if (thread->num_polls < 2) return false;
    }
  }
  for (Cta* cta : ctas_) {
    for (const auto& thread : cta->threads) thread->num_polls = 0;
  }
  return true;
}

}  // namespace jdg::emu
