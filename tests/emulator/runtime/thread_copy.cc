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

// Lane i's address is row i % 8 of matrix i / 8; its registers hold columns 2 (i % 4) and the next
// of row i / 4 of each matrix.
void store_matrices(uint32_t address, std::initializer_list<uint32_t> registers) {
  JDG_ENTER();
  Thread& self = machine().self();
  const uint32_t count = static_cast<uint32_t>(registers.size());
  self.operands.address = address;
  std::copy(registers.begin(), registers.end(), self.operands.values);
  machine().meet(self.warp->meeting, 32, [&] {
    const auto* lanes = &self.cta->threads[self.index - self.lane];
    for (uint32_t matrix = 0; matrix < count; ++matrix) {
      for (uint32_t row = 0; row < 8; ++row) {
        uint32_t line[4];
        for (uint32_t i = 0; i < 4; ++i) line[i] = lanes[row * 4 + i]->operands.values[matrix];
        const uint32_t target = lanes[matrix * 8 + row]->operands.address;
        self.cta->smem.check(target, sizeof(line), sizeof(line), "stmatrix");
        self.cta->smem.write_generic(target, line, sizeof(line), "stmatrix");
        // Each lane wrote its own 4 bytes: only its own fence shows them to TMA.
        for (uint32_t i = 0; i < 4; ++i) {
          lanes[row * 4 + i]->unfenced.push_back({target + i * 4, 4});
        }
      }
    }
  });
}

void copy_async(uint32_t address, const void* global, uint32_t bytes, uint32_t valid_bytes) {
  JDG_ENTER();
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
