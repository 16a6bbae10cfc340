// The state of one launch: threads, warps, CTAs, and what runs next.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/barrier.h"
#include "runtime/error.h"
#include "runtime/events.h"
#include "runtime/fiber.h"
#include "runtime/guarded_buffer.h"
#include "runtime/memory_order.h"
#include "runtime/random.h"
#include "runtime/shared_memory.h"
#include "runtime/trace.h"
#include "runtime/warp_mma.h"

namespace jdg::emu {

constexpr uint32_t kRegistersOfSm = 65536;

struct Cta;
struct Grid;
struct Warp;

struct Index3 {
  uint32_t x, y, z;
};

// Bytes that a thread wrote and did not fence.
struct Range {
  uint32_t address;
  uint32_t count;
};

// A TMA store: it reads shared memory, and then writes global memory.
struct Store {
  EventPtr read;
  EventPtr write;
};

// A store that other threads may see late.
struct StrongStore {
  const uint32_t* address;
  EventPtr event;
};

// What a lane brings to an operation of its warp.
struct Operands {
  uint32_t address;
  uint32_t values[4];
  uint32_t* registers;
  float* accumulators;
};

struct Thread {
  // Notes that TMA and wgmma may not see a write of this thread.
  void add_unfenced(uint32_t address, uint32_t count) { unfenced.push_back({address, count}); }

  Fiber fiber;
  Cta* cta = nullptr;
  Warp* warp = nullptr;
  uint32_t index = 0;
  uint32_t lane = 0;
  bool runnable = true;
  bool done = false;

  Knowledge knowledge;     // With several devices.
  uint32_t num_polls = 0;  // Since it did anything else.

  const char* operation = "its first operation";
  const void* caller = nullptr;
  std::string waits_for;

  bool previous_kernel_done = false;
  uint64_t num_cluster_waits = 0;
  Operands operands = {};
  std::vector<Range> unfenced;
  std::vector<const uint32_t*> loaded;  // Registers that ldmatrix wrote after the last wgmma.fence.
  std::vector<EventPtr> signals;        // Arrivals and stores on their way to another CTA.
  std::vector<EventPtr> reductions;     // In global memory, under way.
  std::vector<StrongStore> stores;      // That other devices see, under way.
  std::vector<EventPtr> copies;         // cp.async under way.
  std::vector<Store> open_stores;       // Of TMA, since the last commit.
  std::vector<std::vector<Store>> closed_stores;  // Committed groups.
};

// Threads that wait for each other in an operation that all of them execute.
struct Meeting {
  const char* operation = nullptr;
  std::vector<Thread*> waiting;
};

struct Warp {
  Meeting meeting;
  WarpMma mma;
  uint32_t registers = 0;  // Of each thread.
  bool slow = false;       // For a while it is scheduled less often.
};

struct NamedBarrier {
  uint32_t threads = 0;  // That meet in this phase.
  uint32_t num_arrived = 0;
  uint64_t phase = 0;
  std::vector<Thread*> waiting;
};

struct Cluster {
  std::vector<Cta*> ctas;
  std::vector<Thread*> waiting;
  uint32_t num_arrived = 0;
  uint64_t phase = 0;
};

struct Cta {
  Cta(uint32_t smem_bytes, uint32_t num_warps) : smem(smem_bytes), warps(num_warps) {}

  SharedMemory smem;
  std::map<uint32_t, Barrier> barriers;
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Warp> warps;
  std::vector<Thread*> runnable;
  std::vector<Thread*> waiting_for_registers;
  Meeting meeting;
  std::array<NamedBarrier, 16> named_barriers;
  Cluster* cluster = nullptr;
  Grid* grid = nullptr;
  Index3 block = {};
  uint32_t index = 0;
  uint32_t rank = 0;
  uint32_t num_live = 0;
  uint32_t free_registers = 0;
};

struct Shape {
  Index3 grid;
  uint32_t cluster;
  uint32_t threads;
  uint32_t smem_bytes;
};

// One kernel and its arguments.
struct Launch {
  Shape shape;
  void (*kernel)(const void* const*);
  const void* const* params;
  const char* const* roles;
};

// A launch under way.
struct Grid {
  Launch launch;
  uint32_t device;
  std::vector<std::unique_ptr<Cta>> ctas;
  std::vector<std::unique_ptr<Cluster>> clusters;
};

// Launches that run one after the other.
struct Device {
  std::vector<Launch> launches;
  size_t num_started = 0;
  std::unique_ptr<Grid> grid;  // Of the last one.
  uint64_t held_until = 0;     // A step; until then others run, if they can.
  VectorClock known;           // By the kernel that begins.
};

class Machine {
 public:
  // Whether a thread of a kernel runs: its code does nothing outside a launch.
  static bool is_running();

  Machine(std::vector<std::vector<Launch>> launches, uint64_t seed, const JdgTrace* trace);
  ~Machine();

  // Runs all kernels to their ends; throws what is wrong with one.
  void run();

  // The operations of the thread that runs.
  Thread& self() { return *running_; }
  void enter(const char* operation, const void* caller, bool is_poll = false);
  void yield();
  void maybe_yield();  // Sometimes.
  void block(std::string waits_for);
  void wake(Thread* thread);

  // Blocks until `size` threads are here; the last one does `action` for all.
  template <typename Action>
  void meet(Meeting& meeting, uint32_t size, Action action) {
    if (!join(meeting, size)) return;
    action();
    release(meeting);
  }

  // Does `action` at some moment from now on; errors name this place.
  EventPtr later(std::function<void()> action, const std::vector<EventPtr>& after = {});

  // Makes `error` of the running thread's code at `location` the launch's.
  void note_error(const std::string& error, const char* operation, const void* location);
  // What the thread that runs sent to other CTAs, or added to global memory, is there now.
  void settle_signals();
  void settle_reductions();

  // Ends the launch from a signal handler: the thread touched `address`, or failed a check of the
  // compiler if null.
  [[noreturn]] void fault(const void* address, const void* location);

  // What global memory the kernel may touch, and a check of an access to it.
  void set_buffers(const std::vector<GuardedBuffer>* buffers) { buffers_ = buffers; }
  void check_global(const void* pointer, uint32_t count, const char* what) const;

  // The order of global memory, with several devices: a plain access, or one of a scope.
  void note_access(const void* address, size_t count, Scope scope, bool is_store,
                   const void* caller);
  void tell_each_other(const std::vector<Thread*>& threads);
  void fence(Scope scope);
  void load_strong(const uint32_t* address, Scope scope, bool acquires);
  void store_strong(uint32_t* address, uint32_t value, Scope scope);
  void settle_stores();
  // Replaces what is there at once; returns it.
  template <typename Combine>
  uint32_t exchange_strong(uint32_t* address, Scope scope, Combine combine) {
    load_strong(address, scope, false);
    const uint32_t before = *address;
    const uint32_t after = combine(before);
    if (has_devices() && after != before) {
      order_.store(address, MemoryOrder::message_of(self().knowledge, scope), true);
    }
    *address = after;
    return before;
  }
  // Throws if there are several: how this operation orders memory is not modelled.
  void needs_one_device() const;

  // Nanoseconds; they pass only while all threads wait.
  uint64_t time() {
    has_clock_ = true;
    return time_;
  }

  Cta& peer(uint32_t rank);
  Random& random() { return random_; }
  EventQueue& events() { return events_; }
  uint32_t elected_lane() const { return elected_lane_; }
  std::string where(const Thread& thread) const;

  // Called by a thread whose poll failed: throws if all that happens is that threads poll.
  void polled();

 private:
  std::string where(const Thread& thread, const std::string& lanes) const;
  static void thread_main(void* thread);
  bool join(Meeting& meeting, uint32_t size);
  void release(Meeting& meeting);
  bool has_devices() const { return devices_.size() > 1; }
  void start(uint32_t device);
  void start_some();
  void end(Device& device);
  void hold_some();
  bool release_devices();
  bool can_run(const Cta& cta) const;
  bool some_can_run() const;
  bool step();
  Cta* choose_cta();
  Thread* choose();
  bool all_poll();
  // Whether threads only polled of late; a thread that gives way may have begun another operation.
  bool only_polls() const { return num_operations_ - before_polls_ <= num_polls_ + 1; }
  void resume(Thread* thread);
  void finish(Thread& thread);
  void trace(const Thread& thread, const char* what, const char* operation = "",
             const void* caller = nullptr);
  void check_end(const Grid& grid) const;
  std::string deadlock() const;

  Random random_;
  const std::vector<GuardedBuffer>* buffers_ = nullptr;
  Trace trace_;
  EventQueue events_;
  MemoryOrder order_;
  std::vector<Device> devices_;
  std::vector<Cta*> ctas_;  // Of all launches under way.
  Cta* active_ = nullptr;   // Whose memory is in the window.
  Thread* running_ = nullptr;
  std::string error_;
  unsigned event_percent_;
  unsigned yield_percent_;
  unsigned late_percent_;
  uint32_t elected_lane_;
  bool has_clock_ = false;  // A thread looked at it.
  uint64_t time_ = 0;
  uint64_t num_steps_ = 0;
  uint64_t num_operations_ = 0;
  uint64_t num_polls_ = 0;     // Since anything else happened,
  uint64_t before_polls_ = 0;  // and what `num_operations_` was then.
};

// "kernel+0x12ab", which the Python side turns into a line of the kernel.
std::string code_address(const void* caller);

// The launch that runs; one at a time in a process.
Machine& machine();

}  // namespace jdg::emu
