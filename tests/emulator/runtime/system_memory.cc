// Memory that other devices see, and time.
#include "runtime/api.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

void check(const uint32_t* global, Scope scope, bool is_store) {
  if (reinterpret_cast<uintptr_t>(global) % sizeof(*global) != 0) {
    throw Error("a strong access is not aligned");
  }
  machine().check_global(global, sizeof(*global), is_store ? "a strong store" : "a strong load");
  machine().note_access(global, sizeof(*global), scope, is_store, machine().self().caller);
}

uint32_t load(const uint32_t* global, Scope scope) {
  check(global, scope, false);
  // Others' stores may happen in the first of these.
  machine().polled();
  machine().load_strong(global, scope, true);
  return *const_cast<const volatile uint32_t*>(global);
}

}  // namespace

uint32_t load_acquire(const uint32_t* global, bool of_system) {
  JDG_ENTER_POLL();
  return load(global, of_system ? Scope::kSystem : Scope::kDevice);
}

// Happens at any moment until the thread's next fence or the kernel's end.
void store_system(uint32_t* global, uint32_t value) {
  JDG_ENTER();
  check(global, Scope::kSystem, true);
  machine().store_strong(global, value, Scope::kSystem);
}

uint32_t compare_and_swap(uint32_t* global, uint32_t expected, uint32_t value) {
  JDG_ENTER();
  check(global, Scope::kSystem, true);
  return machine().exchange_strong(
      global, Scope::kSystem, [&](uint32_t before) { return before == expected ? value : before; });
}

void fence_system() {
  JDG_ENTER();
  machine().settle_reductions();
  machine().settle_stores();
  machine().fence(Scope::kSystem);
}

uint64_t global_timer() {
  JDG_ENTER_POLL();
  machine().polled();
  return machine().time();
}

}  // namespace jdg::emu
