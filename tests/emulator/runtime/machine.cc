#include "runtime/machine.h"

#include <algorithm>
#include <cstring>

namespace jdg::emu {
namespace {

constexpr uint64_t kMaxSteps = 200'000'000;

Machine* current = nullptr;

}  // namespace

Machine& machine() { return *current; }

bool Machine::is_running() { return current != nullptr && current->running_ != nullptr; }

Machine::Machine(std::vector<std::vector<Launch>> launches, uint64_t seed, const JdgTrace* trace)
    : random_(seed), trace_(trace), devices_(launches.size()) {
  // Eager and lazy units, and threads that run long or take turns often, find different errors.
  constexpr unsigned kEventPercent[] = {0, 2, 20, 70};
  constexpr unsigned kYieldPercent[] = {2, 20, 60};
  constexpr unsigned kLatePercent[] = {0, 30};
  event_percent_ = kEventPercent[random_.below(4)];
  yield_percent_ = kYieldPercent[random_.below(3)];
  late_percent_ = kLatePercent[random_.below(2)];
  elected_lane_ = static_cast<uint32_t>(random_.below(32));
  current = this;
  for (size_t i = 0; i < launches.size(); ++i) devices_[i].launches = std::move(launches[i]);
}

Machine::~Machine() { current = nullptr; }

void Machine::thread_main(void* argument) {
  auto* thread = static_cast<Thread*>(argument);
  Machine& m = machine();
  try {
    const Launch& launch = thread->cta->grid->launch;
    launch.kernel(launch.params);
    m.finish(*thread);
  } catch (const Error& error) {
    const std::string place = "\n  " + m.where(*thread);
    m.error_ = error.what();
    // Of another thread if an operation of that one took effect here.
    if (!m.error_.ends_with(place)) m.error_ += place;
  }
  thread->done = true;
  thread->fiber.suspend();
}

void Machine::finish(Thread& thread) {
  Cta& cta = *thread.cta;
  if (!thread.warp->mma.in_flight.empty()) throw Error("a warp ends while its wgmma is under way");
  if (--cta.num_live > 0) return;
  // Another CTA may get this memory now.
  cta.smem.poison(0, cta.smem.size());
}

void Machine::run() {
  start_some();
  while (step()) {
  }
}

bool Machine::can_run(const Cta& cta) const {
  return !cta.runnable.empty() && devices_[cta.grid->device].held_until <= num_steps_;
}

bool Machine::some_can_run() const {
  return std::any_of(ctas_.begin(), ctas_.end(), [this](Cta* cta) { return can_run(*cta); });
}

bool Machine::step() {
  if (++num_steps_ == kMaxSteps) throw Error("the kernel does not end:" + deadlock());
  const bool can_run = some_can_run();
  if (events_.has_ready() && (!can_run || random_.chance(event_percent_))) {
    events_.fire_one(random_);
    return true;
  }
  if (can_run) {
    resume(choose());
    if (!error_.empty()) throw Error(error_);
    if (has_devices()) start_some();
    return true;
  }
  if (release_devices()) return true;
  const bool all_done =
      std::all_of(ctas_.begin(), ctas_.end(), [](Cta* cta) { return cta->num_live == 0; });
  if (!all_done) throw Error("deadlock: no thread can run" + deadlock());
  for (Device& device : devices_) {
    if (device.grid != nullptr) end(device);
  }
  start_some();
  return !ctas_.empty();
}

Cta* Machine::choose_cta() {
  Cta* next;
  do {
    next = ctas_[random_.below(ctas_.size())];
  } while (!can_run(*next));
  return next;
}

Thread* Machine::choose() {
  // Changing the window costs a system call, so a CTA stays for a while; but not while its threads
  // poll and look at the clock.
  const bool stays = active_ != nullptr && can_run(*active_) &&
                     !random_.chance(has_clock_ && only_polls() ? 20 : 1);
  if (!stays) {
    if (has_devices() && !only_polls()) hold_some();
    Cta* next = choose_cta();
    if (next != active_) next->smem.map_window();
    active_ = next;
    for (Warp& warp : active_->warps) warp.slow = random_.chance(30);
  }
  auto& runnable = active_->runnable;
  size_t choice = random_.below(runnable.size());
  if (runnable[choice]->warp->slow) choice = random_.below(runnable.size());
  if (runnable[choice]->warp->slow) choice = random_.below(runnable.size());
  Thread* thread = runnable[choice];
  runnable[choice] = runnable.back();
  runnable.pop_back();
  thread->runnable = false;
  return thread;
}

void Machine::resume(Thread* thread) {
  running_ = thread;
  thread->fiber.resume();
  running_ = nullptr;
}

void Machine::enter(const char* operation, const void* caller, bool is_poll) {
  Thread& thread = self();
  thread.operation = operation;
  thread.caller = caller;
  ++num_operations_;
  if (!is_poll) thread.num_polls = 0;
  trace(thread, "", operation, caller);
  maybe_yield();
}

void Machine::maybe_yield() {
  if (random_.chance(yield_percent_)) yield();
}

void Machine::yield() {
  Thread& thread = self();
  wake(&thread);
  thread.fiber.suspend();
}

void Machine::block(std::string waits_for) {
  Thread& thread = self();
  thread.waits_for = std::move(waits_for);
  trace(thread, "  waits for ", thread.waits_for.c_str());
  thread.fiber.suspend();
  trace(thread, "  goes on");
  thread.waits_for.clear();
}

void Machine::wake(Thread* thread) {
  if (thread->runnable || thread->done) return;
  thread->runnable = true;
  thread->cta->runnable.push_back(thread);
}

// Asynchronous units wait while threads run, by chance for ever; those that poll need them.
void Machine::polled() {
  constexpr uint64_t kPatience = 1000;
  constexpr uint64_t kMaxPolls = 1'000'000;
  constexpr uint64_t kNanosecondsOfRound = 10'000'000;
  ++self().num_polls;
  ++num_polls_;
  if (num_operations_ - before_polls_ != num_polls_) {
    before_polls_ = num_operations_ - 1;
    num_polls_ = 1;
  }
  if (num_polls_ < kPatience) return;
  if (events_.has_ready()) {
    num_polls_ = 0;
    events_.fire_one(random_);
  } else if (has_clock_ && release_devices()) {
    before_polls_ = num_operations_ - 1;
    num_polls_ = 1;
  } else if (num_polls_ > kMaxPolls) {
    throw Error("deadlock: threads poll, and nothing else happens" + deadlock());
  } else if (has_clock_ && all_poll()) {
    // Those that look at the clock may give up.
    time_ += kNanosecondsOfRound;
  }
}

bool Machine::join(Meeting& meeting, uint32_t size) {
  Thread& thread = self();
  if (meeting.waiting.empty()) {
    meeting.operation = thread.operation;
  } else if (std::strcmp(meeting.operation, thread.operation) != 0) {
    throw Error(
        format("threads diverge: %s here, but %s in\n  ", thread.operation, meeting.operation) +
        where(*meeting.waiting[0]));
  }
  meeting.waiting.push_back(&thread);
  if (meeting.waiting.size() == size) return true;
  block("the other threads");
  return false;
}

void Machine::release(Meeting& meeting) {
  std::vector<Thread*> waiting;
  waiting.swap(meeting.waiting);
  for (Thread* thread : waiting) {
    if (thread != running_) wake(thread);
  }
}

EventPtr Machine::later(std::function<void()> action, const std::vector<EventPtr>& after) {
  auto named = [this, action = std::move(action), thread = &self(), operation = self().operation,
                caller = self().caller] {
    try {
      action();
      trace(*thread, "takes effect: ", operation, caller);
    } catch (const Error& error) {
      thread->operation = operation;
      thread->caller = caller;
      throw Error(std::string(error.what()) + "\n  " + where(*thread));
    }
  };
  return events_.add(std::move(named), random_.chance(late_percent_), after);
}

void Machine::settle_signals() {
  for (const EventPtr& signal : self().signals) events_.fire(signal);
  self().signals.clear();
}

void Machine::settle_reductions() {
  for (const EventPtr& reduction : self().reductions) events_.fire(reduction);
  self().reductions.clear();
}

Cta& Machine::peer(uint32_t rank) {
  auto& ctas = self().cta->cluster->ctas;
  if (rank >= ctas.size()) throw Error(format("the cluster has no CTA of rank %u", rank));
  return *ctas[rank];
}

}  // namespace jdg::emu
