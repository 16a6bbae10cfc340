#include "runtime/machine.h"

#include <algorithm>
#include <cstring>

namespace jdg::emu {
namespace {

constexpr uint64_t kMaxSteps = 200'000'000;
constexpr uint32_t kRegistersOfSm = 65536;

Machine* current = nullptr;

}  // namespace

Machine& machine() { return *current; }

bool Machine::is_running() { return current != nullptr && current->running_ != nullptr; }

Machine::Machine(const Shape& shape, uint64_t seed, void (*kernel)(const void* const*),
                 const void* const* params, const char* const* roles, const JdgTrace* trace)
    : shape_(shape), random_(seed), kernel_(kernel), params_(params), roles_(roles), trace_(trace) {
  // Eager and lazy units, and threads that run long or take turns often, find different errors.
  constexpr unsigned kEventPercent[] = {0, 2, 20, 70};
  constexpr unsigned kYieldPercent[] = {2, 20, 60};
  constexpr unsigned kLatePercent[] = {0, 30};
  event_percent_ = kEventPercent[random_.below(4)];
  yield_percent_ = kYieldPercent[random_.below(3)];
  late_percent_ = kLatePercent[random_.below(2)];
  elected_lane_ = static_cast<uint32_t>(random_.below(32));
  current = this;
  const uint32_t num_ctas = shape.grid.x * shape.grid.y * shape.grid.z;
  const uint32_t registers = std::min(kRegistersOfSm / shape.threads / 8 * 8, 255u);
  for (uint32_t i = 0; i < num_ctas; ++i) {
    auto cta = std::make_unique<Cta>(shape.smem_bytes, (shape.threads + 31) / 32);
    cta->index = i;
    cta->block = {i % shape.grid.x, i / shape.grid.x % shape.grid.y,
                  i / shape.grid.x / shape.grid.y};
    cta->rank = i % shape.cluster;
    cta->num_live = shape.threads;
    if (cta->rank == 0) clusters_.push_back(std::make_unique<Cluster>());
    cta->cluster = clusters_.back().get();
    cta->cluster->ctas.push_back(cta.get());
    for (Warp& warp : cta->warps) warp.registers = registers;
    for (uint32_t t = 0; t < shape.threads; ++t) {
      auto thread = std::make_unique<Thread>();
      thread->cta = cta.get();
      thread->warp = &cta->warps[t / 32];
      thread->index = t;
      thread->lane = t % 32;
      thread->fiber.create(&Machine::thread_main, thread.get());
      cta->runnable.push_back(thread.get());
      cta->threads.push_back(std::move(thread));
    }
    ctas_.push_back(std::move(cta));
  }
}

Machine::~Machine() { current = nullptr; }

void Machine::thread_main(void* argument) {
  auto* thread = static_cast<Thread*>(argument);
  Machine& m = machine();
  try {
    m.kernel_(m.params_);
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
  while (step()) {
  }
  check_end();
}

bool Machine::step() {
  if (++num_steps_ == kMaxSteps) throw Error("the kernel does not end:" + deadlock());
  const bool can_run =
      std::any_of(ctas_.begin(), ctas_.end(), [](auto& cta) { return !cta->runnable.empty(); });
  if (events_.has_ready() && (!can_run || random_.chance(event_percent_))) {
    events_.fire_one(random_);
    return true;
  }
  if (can_run) {
    resume(choose());
    if (!error_.empty()) throw Error(error_);
    return true;
  }
  const bool all_done =
      std::all_of(ctas_.begin(), ctas_.end(), [](auto& cta) { return cta->num_live == 0; });
  if (!all_done) throw Error("deadlock: no thread can run" + deadlock());
  return false;
}

Thread* Machine::choose() {
  // Changing the window costs a system call, so a CTA stays for a while.
  if (active_ == nullptr || active_->runnable.empty() || random_.chance(1)) {
    Cta* next;
    do {
      next = ctas_[random_.below(ctas_.size())].get();
    } while (next->runnable.empty());
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

void Machine::enter(const char* operation, const void* caller) {
  Thread& thread = self();
  thread.operation = operation;
  thread.caller = caller;
  ++num_operations_;
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
  ++num_polls_;
  if (num_operations_ - before_polls_ != num_polls_) {
    before_polls_ = num_operations_ - 1;
    num_polls_ = 1;
  }
  if (num_polls_ < kPatience) return;
  if (events_.has_ready()) {
    num_polls_ = 0;
    events_.fire_one(random_);
  } else if (num_polls_ > kMaxPolls) {
    throw Error("deadlock: threads poll, and nothing else happens" + deadlock());
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
