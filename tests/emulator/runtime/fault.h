// Turns a thread's access to unmapped memory into an error of the launch.
#pragma once

#include <signal.h>

#include <vector>

namespace jdg::emu {

// Catches SIGSEGV and SIGBUS, SIGILL (what a failed check of the compiler raises) and SIGFPE for
// its life.
class FaultHandler {
 public:
  static constexpr int kNumSignals = 4;

  FaultHandler();
  FaultHandler(const FaultHandler&) = delete;
  FaultHandler& operator=(const FaultHandler&) = delete;
  ~FaultHandler();

 private:
  std::vector<char> stack_;
  stack_t old_stack_;
  struct sigaction old_actions_[kNumSignals];
};

}  // namespace jdg::emu
