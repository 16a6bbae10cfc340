// Which accesses of global memory are ordered, where several devices run at once.
//
// A thread knows an access of another once a chain of barriers, or of fences around loads and
// stores that all reach far enough, leads from one to the other: vector clocks. Two accesses of
// the same byte, one of which writes, must know each other, unless both are of the kind that is
// made for it and reach far enough. What a chain does not reach is an error whenever it happens,
// and not only where the hardware shows it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace jdg::emu {

// How far a strong load, store, atomic operation or fence reaches; kNone: a plain access.
enum class Scope : uint8_t { kNone, kDevice, kSystem };

class VectorClock {
 public:
  uint32_t at(uint32_t agent) const { return agent < times_.size() ? times_[agent] : 0; }
  void advance(uint32_t agent);
  void join(const VectorClock& other);
  bool empty() const { return times_.empty(); }

 private:
  std::vector<uint32_t> times_;
};

// What a thread knows, and what fences make of it.
struct Knowledge {
  uint32_t agent = 0;
  uint32_t device = 0;
  VectorClock now;
  VectorClock released[3];  // By fences of a scope, for strong stores after them.
  VectorClock pending[3];   // By strong loads; fences of a scope make it known.
};

// An access of a thread, as a report names it.
struct Access {
  uint32_t agent;
  uint32_t device;
  uint32_t time;
  Scope scope;
  bool is_store;
  const void* caller;
};

class MemoryOrder {
 public:
  // Notes an access; returns an earlier one that it races with.
  std::optional<Access> note(const Knowledge& who, const void* address, size_t count,
                             const Access& access);

  static void fence(Knowledge& who, Scope scope);
  // Threads that met.
  static void meet(const std::vector<Knowledge*>& threads);

  void load(Knowledge& who, const void* address, Scope scope, bool acquires);
  // What a store of this thread, at some moment from now on, tells who loads it.
  struct Message {
    uint32_t device;
    VectorClock to_device;
    VectorClock to_system;
  };
  static Message message_of(const Knowledge& who, Scope scope);
  void store(const void* address, const Message& message, bool adds);

 private:
  static constexpr uint32_t kNobody = ~0u;

  struct Byte {
    uint32_t write = kNobody;
    std::vector<uint32_t> reads;  // Since the write; none known to another.
  };
  struct Word {
    std::map<uint32_t, VectorClock> of_device;
    VectorClock of_system;
  };

  static bool is_fine(const Access& before, const Knowledge& who, const Access& access);

  std::vector<Access> accesses_;
  std::unordered_map<uintptr_t, Byte> bytes_;
  std::unordered_map<uintptr_t, Word> words_;
};

}  // namespace jdg::emu
