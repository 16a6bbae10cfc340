#include "runtime/memory_order.h"

#include <algorithm>

namespace jdg::emu {
namespace {

VectorClock& of(VectorClock (&clocks)[3], Scope scope) { return clocks[static_cast<int>(scope)]; }

bool is_same(const Access& x, const Access& y) {
  return x.agent == y.agent && x.time == y.time && x.scope == y.scope && x.caller == y.caller &&
         x.is_store == y.is_store;
}

}  // namespace

void VectorClock::advance(uint32_t agent) {
  if (times_.size() <= agent) times_.resize(agent + 1);
  ++times_[agent];
}

void VectorClock::join(const VectorClock& other) {
  if (times_.size() < other.times_.size()) times_.resize(other.times_.size());
  for (size_t i = 0; i < other.times_.size(); ++i) {
    times_[i] = std::max(times_[i], other.times_[i]);
  }
}

bool MemoryOrder::is_fine(const Access& before, const Knowledge& who, const Access& access) {
  if (before.agent == access.agent || before.time <= who.now.at(before.agent)) return true;
  if (before.scope == Scope::kNone || access.scope == Scope::kNone) return false;
  return before.device == access.device ||
         (before.scope == Scope::kSystem && access.scope == Scope::kSystem);
}

std::optional<Access> MemoryOrder::note(const Knowledge& who, const void* address, size_t count,
                                        const Access& access) {
  if (accesses_.empty() || !is_same(accesses_.back(), access)) accesses_.push_back(access);
  const auto index = static_cast<uint32_t>(accesses_.size() - 1);
  const auto begin = reinterpret_cast<uintptr_t>(address);
  for (uintptr_t i = begin; i < begin + count; ++i) {
    Byte& byte = bytes_[i];
    if (byte.write != kNobody && !is_fine(accesses_[byte.write], who, access)) {
      return accesses_[byte.write];
    }
    if (access.is_store) {
      for (const uint32_t read : byte.reads) {
        if (!is_fine(accesses_[read], who, access)) return accesses_[read];
      }
      byte.reads.clear();
      byte.write = index;
      continue;
    }
    // One of the same kind that this thread knows says nothing that this one does not.
    std::erase_if(byte.reads, [&](uint32_t read) {
      const Access& before = accesses_[read];
      return before.scope == access.scope &&
             (before.agent == access.agent || before.time <= who.now.at(before.agent));
    });
    byte.reads.push_back(index);
  }
  return std::nullopt;
}

void MemoryOrder::fence(Knowledge& who, Scope scope) {
  who.now.join(of(who.pending, Scope::kDevice));
  if (scope == Scope::kSystem) {
    who.now.join(of(who.pending, Scope::kSystem));
    of(who.released, Scope::kSystem) = who.now;
  }
  of(who.released, Scope::kDevice) = who.now;
  who.now.advance(who.agent);
}

void MemoryOrder::meet(const std::vector<Knowledge*>& threads) {
  VectorClock all;
  for (const Knowledge* thread : threads) all.join(thread->now);
  for (Knowledge* thread : threads) {
    thread->now = all;
    thread->now.advance(thread->agent);
  }
}

void MemoryOrder::load(Knowledge& who, const void* address, Scope scope, bool acquires) {
  const auto word = words_.find(reinterpret_cast<uintptr_t>(address));
  if (word == words_.end()) return;
  const auto own = word->second.of_device.find(who.device);
  if (own != word->second.of_device.end()) {
    (acquires ? who.now : of(who.pending, Scope::kDevice)).join(own->second);
  }
  if (scope == Scope::kSystem) {
    (acquires ? who.now : of(who.pending, Scope::kSystem)).join(word->second.of_system);
  }
}

MemoryOrder::Message MemoryOrder::message_of(const Knowledge& who, Scope scope) {
  Message message = {who.device, who.released[static_cast<int>(Scope::kDevice)], {}};
  if (scope == Scope::kSystem) {
    message.to_system = who.released[static_cast<int>(Scope::kSystem)];
  }
  return message;
}

void MemoryOrder::store(const void* address, const Message& message, bool adds) {
  Word& word = words_[reinterpret_cast<uintptr_t>(address)];
  if (!adds) word = {};
  word.of_device[message.device].join(message.to_device);
  word.of_system.join(message.to_system);
}

}  // namespace jdg::emu
