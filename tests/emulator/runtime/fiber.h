// Stacks that take turns on one host thread.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>

namespace jdg::emu {

// One stack. ucontext only starts it: swapcontext costs two system calls a switch, _setjmp none.
class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // `entry(argument)` must not return, but suspend for the last time.
  void create(void (*entry)(void*), void* argument);

  // Runs the fiber until it suspends; called on the host thread's own stack.
  void resume();

  // Back to the caller of resume().
  void suspend();

  // As above from a signal handler, whose stack is dropped; the fiber cannot be resumed.
  [[noreturn]] void abandon();

  // Whether `count` bytes at `pointer` lie on this stack.
  bool owns(const void* pointer, size_t count) const;

 private:
  static void start(unsigned high, unsigned low);

  jmp_buf caller_;
  jmp_buf self_;
  ucontext_t context_;
  bool started_ = false;
  char* stack_ = nullptr;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace jdg::emu
