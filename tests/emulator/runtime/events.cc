#include "runtime/events.h"

namespace jdg::emu {

EventPtr EventQueue::add(std::function<void()> action, bool late,
                         const std::vector<EventPtr>& after) {
  auto event = std::make_shared<Event>(std::move(action));
  event->late_ = late;
  for (const EventPtr& predecessor : after) {
    if (predecessor->done()) continue;
    predecessor->successors_.push_back(event);
    event->predecessors_.push_back(predecessor);
    ++event->num_open_;
  }
  if (event->num_open_ == 0) {
    make_ready(event);
  } else {
    blocked_.push_back(event);
  }
  return event;
}

void EventQueue::fire(EventPtr event) {
  if (event->done_) return;
  for (const auto& predecessor : event->predecessors_) {
    if (EventPtr open = predecessor.lock()) fire(open);
  }
  // The last takes its place.
  auto& ready = ready_[event->late_];
  ready[event->slot_] = ready.back();
  ready[event->slot_]->slot_ = event->slot_;
  ready.pop_back();
  event->done_ = true;
  event->action_();
  for (const auto& successor : event->successors_) {
    if (EventPtr next = successor.lock(); --next->num_open_ == 0) {
      std::erase(blocked_, next);
      make_ready(next);
    }
  }
}

void EventQueue::make_ready(const EventPtr& event) {
  auto& ready = ready_[event->late_];
  event->slot_ = ready.size();
  ready.push_back(event);
}

}  // namespace jdg::emu
