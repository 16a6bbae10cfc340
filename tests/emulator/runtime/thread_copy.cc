// Writes to shared memory through the generic proxy.
#include <cstring>

#include "runtime/api.h"
#include "runtime/barrier_operations.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

void write(Thread& thread, uint32_t address, const void* data, uint32_t count, const char* what) {
  thread.cta->smem.check(address, count, count, what);
  thread.cta->smem.write_generic(address, data, count, what);
  thread.unfenced.push_back({address, count});
}

}  // namespace

void fence_proxy_async() {
  JDG_ENTER();
  Thread& self = machine().self();
  for (const Range& range : self.unfenced) self.cta->smem.publish(range.address, range.count);
  self.unfenced.clear();
}

void store_shared(uint32_t address, const void* data, uint32_t bytes) {
  JDG_ENTER();
  write(machine().self(), address, data, bytes, "st.shared");
}

void copy_async(uint32_t address, const void* global, uint32_t bytes, uint32_t valid_bytes) {
  JDG_ENTER();
  machine().needs_one_device();
  Thread& self = machine().self();
  Cta& cta = *self.cta;
  cta.smem.check(address, bytes, bytes, "cp.async");
  if (reinterpret_cast<uintptr_t>(global) % bytes != 0) throw Error("cp.async is not aligned");
  machine().check_global(global, valid_bytes, "cp.async");
  cta.smem.poison(address, bytes);
  std::erase_if(self.copies, [](const EventPtr& copy) { return copy->done(); });
  self.copies.push_back(machine().later([=, &cta] {
    if (cta.num_live == 0) throw Error("the CTA ends before its cp.async");
    uint8_t data[16] = {};
    std::memcpy(data, global, valid_bytes);
    cta.smem.write_generic(address, data, bytes, "cp.async");
  }));
}

void copy_async_arrive(uint32_t barrier) {
  JDG_ENTER();
  Thread& self = machine().self();
  Cta& cta = *self.cta;
  barrier_at(cta, barrier);
  self.copies.push_back(machine().later([=, &cta] { arrive(cta, barrier); }, self.copies));
}

}  // namespace jdg::emu
