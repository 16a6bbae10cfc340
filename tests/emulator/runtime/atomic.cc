// Atomic operations of threads. What returns nothing happens at any moment until the thread meets
// others or fences.
#include <algorithm>

#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

// A fault is this thread's, and not that of the moment when the operation happens.
template <typename T>
void touch(T* global, size_t count) {
  if (reinterpret_cast<uintptr_t>(global) % (count * sizeof(T)) != 0) {
    throw Error("an atomic operation is not aligned");
  }
  (void)*static_cast<volatile T*>(global);
}

template <typename Combine>
uint32_t exchange(uint32_t* global, Combine combine) {
  touch(global, 1);
  machine().note_access(global, sizeof(*global), Scope::kDevice, true, machine().self().caller);
  return machine().exchange_strong(global, Scope::kDevice, combine);
}

}  // namespace

uint32_t atomic_add(uint32_t* global, uint32_t value) {
  JDG_ENTER();
  return exchange(global, [value](uint32_t before) { return before + value; });
}

uint32_t atomic_max(uint32_t* global, uint32_t value) {
  JDG_ENTER();
  return exchange(global, [value](uint32_t before) { return std::max(before, value); });
}

void reduce_add(float* global, std::initializer_list<float> values) {
  JDG_ENTER();
  machine().needs_one_device();
  touch(global, values.size());
  const std::vector<float> terms(values);
  auto& reductions = machine().self().reductions;
  std::erase_if(reductions, [](const EventPtr& reduction) { return reduction->done(); });
  reductions.push_back(machine().later([global, terms] {
    for (size_t i = 0; i < terms.size(); ++i) global[i] += terms[i];
  }));
}

uint32_t atomic_shared(uint32_t address, uint32_t value, bool is_max) {
  JDG_ENTER();
  Thread& self = machine().self();
  SharedMemory& smem = self.cta->smem;
  smem.check(address, sizeof(value), sizeof(value), "atom.shared");
  uint32_t before;
  std::copy_n(smem.read_generic(address), sizeof(before), reinterpret_cast<uint8_t*>(&before));
  const uint32_t after = is_max ? std::max(before, value) : before + value;
  smem.write_generic(address, &after, sizeof(after), "atom.shared");
  self.unfenced.push_back({address, sizeof(after)});
  return before;
}

void fence_gpu() {
  JDG_ENTER();
  machine().settle_reductions();
  machine().settle_stores();
  machine().fence(Scope::kDevice);
}

}  // namespace jdg::emu
