// Asynchronous operations that are under way.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "runtime/random.h"

namespace jdg::emu {

// Something that happens at any moment from now on, but after its predecessors.
class Event {
 public:
  explicit Event(std::function<void()> action) : action_(std::move(action)) {}
  bool done() const { return done_; }

 private:
  friend class EventQueue;
  static constexpr size_t kNoSlot = ~size_t{0};

  std::function<void()> action_;
  std::vector<std::weak_ptr<Event>> successors_;
  std::vector<std::weak_ptr<Event>> predecessors_;
  int num_open_ = 0;       // Predecessors that are not done.
  bool late_ = false;      // Most others overtake it.
  size_t slot_ = kNoSlot;  // Where `ready_[late_]` holds it.
  bool done_ = false;
};

using EventPtr = std::shared_ptr<Event>;

class EventQueue {
 public:
  EventPtr add(std::function<void()> action, bool late, const std::vector<EventPtr>& after);

  bool has_ready() const { return !ready_[0].empty() || !ready_[1].empty(); }

  // Fires a late event only if there is no other.
  void fire_one(Random& random) {
    const auto& ready = ready_[ready_[0].empty()];
    fire(ready[random.below(ready.size())]);
  }

  // Fires what `event` waits for, and then it, at the latest moment that is left.
  void fire(EventPtr event);

 private:
  void make_ready(const EventPtr& event);

  std::vector<EventPtr> ready_[2];
  std::vector<EventPtr> blocked_;
};

}  // namespace jdg::emu
