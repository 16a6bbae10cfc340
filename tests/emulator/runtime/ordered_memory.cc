// Global memory of several devices: the order of accesses, and stores that are under way.
#include "runtime/machine.h"

namespace jdg::emu {

void Machine::needs_one_device() const {
  if (has_devices()) throw Error("how this orders memory between devices is not modelled");
}

void Machine::note_access(const void* address, size_t count, Scope scope, bool is_store,
                          const void* caller) {
  if (!has_devices()) return;
  const Thread& thread = self();
  const Knowledge& who = thread.knowledge;
  const Access access = {who.agent, who.device, who.now.at(who.agent), scope, is_store, caller};
  const auto other = order_.note(who, address, count, access);
  if (!other.has_value()) return;
  throw Error(format("%s of %zu bytes and %s of rank %u at ", is_store ? "a store" : "a load",
                     count, other->is_store ? "a store" : "a load", other->device) +
              code_address(other->caller) + ": nothing orders them");
}

void Machine::tell_each_other(const std::vector<Thread*>& threads) {
  if (!has_devices()) return;
  std::vector<Knowledge*> all;
  for (Thread* thread : threads) all.push_back(&thread->knowledge);
  MemoryOrder::meet(all);
}

void Machine::fence(Scope scope) {
  if (has_devices()) MemoryOrder::fence(self().knowledge, scope);
}

void Machine::load_strong(const uint32_t* address, Scope scope, bool acquires) {
  // A thread sees its own stores.
  for (const StrongStore& store : self().stores) {
    if (store.address == address) events_.fire(store.event);
  }
  if (has_devices()) order_.load(self().knowledge, address, scope, acquires);
}

void Machine::store_strong(uint32_t* address, uint32_t value, Scope scope) {
  const auto message = MemoryOrder::message_of(self().knowledge, scope);
  auto& stores = self().stores;
  std::vector<EventPtr> before;
  for (const StrongStore& store : stores) {
    if (store.address == address) before.push_back(store.event);
  }
  const auto store = [=, this] {
    order_.store(address, message, false);
    *address = value;
  };
  stores.push_back({address, later(store, before)});
}

void Machine::settle_stores() {
  for (const StrongStore& store : self().stores) events_.fire(store.event);
  self().stores.clear();
}

}  // namespace jdg::emu
