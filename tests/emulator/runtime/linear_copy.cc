// TMA without a tensor map: contiguous bytes.
#include <cstring>

#include "runtime/api.h"
#include "runtime/barrier_operations.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

constexpr uint32_t kUnit = 16;

using Bytes = std::vector<uint8_t>;

void check_sizes(const void* global, uint32_t bytes) {
  if (reinterpret_cast<uintptr_t>(global) % kUnit != 0 || bytes % kUnit != 0) {
    throw Error("cp.async.bulk takes addresses and sizes that are multiples of 16");
  }
  if (bytes == 0) throw Error("cp.async.bulk of nothing");
}

// Checks global memory while the thread that asks for it runs, so that a fault is this thread's.
void touch(const void* global, uint32_t bytes) {
  if (!machine().self().previous_kernel_done) {
    throw Error("uses global memory before it waits for the previous kernel");
  }
  const auto* data = static_cast<const volatile uint8_t*>(global);
  for (uint32_t i = 0; i < bytes; i += 4096) (void)data[i];
  (void)data[bytes - 1];
}

// Bytes that `read` returns arrive in shared memory at some moment.
template <typename Read>
void arrive_later(Cta& cta, uint32_t address, uint32_t bytes, uint32_t barrier, Read read,
                  const char* what) {
  Barrier& target = barrier_at(cta, barrier);
  if (!target.is_visible) throw Error("the initialisation of the mbarrier is not fenced");
  cta.smem.check(address, bytes, kUnit, what);
  // From now on the old bytes may be gone.
  cta.smem.poison(address, bytes);
  const uint64_t phase = target.phase;
  machine().later([=, &cta] {
    barrier_at(cta, barrier).record(address, bytes, phase);
    cta.smem.write_async(address, read(), bytes, what);
    complete_bytes(cta, barrier, bytes, phase);
  });
}

void write_global(uint8_t* global, const Bytes& data, bool adds) {
  if (!adds) {
    std::memcpy(global, data.data(), data.size());
    return;
  }
  for (size_t i = 0; i < data.size(); i += sizeof(float)) {
    float sum, term;
    std::memcpy(&sum, global + i, sizeof(float));
    std::memcpy(&term, &data[i], sizeof(float));
    sum += term;
    std::memcpy(global + i, &sum, sizeof(float));
  }
}

}  // namespace

void bulk_load(uint32_t address, const void* global, uint32_t bytes, uint32_t barrier) {
  JDG_ENTER();
  check_sizes(global, bytes);
  touch(global, bytes);
  arrive_later(
      *machine().self().cta, address, bytes, barrier, [=] { return global; }, "a bulk load");
}

void bulk_store(void* global, uint32_t address, uint32_t bytes, bool adds) {
  JDG_ENTER();
  machine().needs_one_device();
  check_sizes(global, bytes);
  touch(global, bytes);
  Thread& self = machine().self();
  Cta& cta = *self.cta;
  cta.smem.check(address, bytes, kUnit, "a bulk store");
  auto data = std::make_shared<Bytes>();
  EventPtr read = machine().later([=, &cta] {
    const uint8_t* source = cta.smem.read_async(address, bytes, "a bulk store");
    data->assign(source, source + bytes);
  });
  EventPtr write =
      machine().later([=] { write_global(static_cast<uint8_t*>(global), *data, adds); }, {read});
  self.open_stores.push_back({read, write});
}

void bulk_send(uint32_t target, uint32_t rank, uint32_t address, uint32_t bytes, uint32_t barrier) {
  JDG_ENTER();
  check_sizes(nullptr, bytes);
  Cta& from = *machine().self().cta;
  from.smem.check(address, bytes, kUnit, "a bulk copy");
  const auto read = [=, &from] { return from.smem.read_async(address, bytes, "a bulk copy"); };
  arrive_later(machine().peer(rank), target, bytes, barrier, read, "a bulk copy");
}

}  // namespace jdg::emu
