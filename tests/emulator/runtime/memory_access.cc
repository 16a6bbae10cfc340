// Checks of the loads and stores that a kernel does itself.
//
// Kernels are compiled with -fsanitize=thread, without that sanitizer's library: the compiler then
// calls one of the functions below before every access to memory that is not a local variable.
#include <cstddef>

#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

void check_shared(Thread& self, uint32_t address, uint32_t count, bool is_store) {
  SharedMemory& smem = self.cta->smem;
  if (!is_store) return smem.check_load(address, count);
  smem.note_store(address, count);
  self.add_unfenced(address, count);
}

void check(const void* pointer, size_t count, bool is_store, const void* caller) {
  Thread& self = machine().self();
  if (self.fiber.owns(pointer, count)) return;
  self.num_polls = 0;
  machine().maybe_yield();
  const auto offset = static_cast<const unsigned char*>(pointer) - smem_bytes;
  const uint32_t size = static_cast<uint32_t>(count);
  if (offset >= 0 && offset < SharedMemory::kWindowBytes) {
    check_shared(self, static_cast<uint32_t>(offset), size, is_store);
  } else {
    machine().check_global(pointer, size, is_store ? "a store" : "a load");
    machine().note_access(pointer, size, Scope::kNone, is_store, caller);
  }
}

// The compiler does not expect these calls to throw: an error leaves by a jump.
void access(const void* pointer, size_t count, bool is_store, const void* caller) {
  if (!Machine::is_running()) return;
  try {
    check(pointer, count, is_store, caller);
    return;
  } catch (const Error& error) {
    machine().note_error(error.what(), is_store ? "a store" : "a load", caller);
  }
  machine().self().fiber.abandon();
}

}  // namespace
}  // namespace jdg::emu

#define JDG_ACCESS(name, count, is_store)                                    \
  void __tsan_##name(const void* pointer) {                                  \
    jdg::emu::access(pointer, count, is_store, __builtin_return_address(0)); \
  }
#define JDG_ACCESSES(count)                       \
  JDG_ACCESS(read##count, count, false)           \
  JDG_ACCESS(write##count, count, true)           \
  JDG_ACCESS(unaligned_read##count, count, false) \
  JDG_ACCESS(unaligned_write##count, count, true)

extern "C" {

JDG_ACCESSES(1)
JDG_ACCESSES(2)
JDG_ACCESSES(4)
JDG_ACCESSES(8)
JDG_ACCESSES(16)

void __tsan_read_range(const void* pointer, size_t count) {
  jdg::emu::access(pointer, count, false, __builtin_return_address(0));
}

void __tsan_write_range(const void* pointer, size_t count) {
  jdg::emu::access(pointer, count, true, __builtin_return_address(0));
}

void __tsan_init() {}
void __tsan_func_entry(const void*) {}
void __tsan_func_exit() {}

}  // extern "C"
