#include "runtime/fault.h"

#include <ucontext.h>

#include "runtime/division.h"
#include "runtime/machine.h"

namespace jdg::emu {
namespace {

constexpr int kSignals[FaultHandler::kNumSignals] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

const void* fault_location(const void* context) {
#if defined(__x86_64__)
  const auto* registers = static_cast<const ucontext_t*>(context);
  return reinterpret_cast<const void*>(registers->uc_mcontext.gregs[REG_RIP] + 1);
#else
  (void)context;
  return nullptr;
#endif
}

void handle(int signal, siginfo_t* info, void* context) {
  if (signal == SIGFPE && skip_division(context)) return;
  const bool is_access = signal == SIGSEGV || signal == SIGBUS;
  machine().fault(is_access ? info->si_addr : nullptr, fault_location(context));
}

}  // namespace

FaultHandler::FaultHandler() : stack_(64 * 1024) {
  stack_t stack = {};
  stack.ss_sp = stack_.data();
  stack.ss_size = stack_.size();
  sigaltstack(&stack, &old_stack_);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  // The handler leaves by a jump, so its signal must not stay blocked.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < kNumSignals; ++i) sigaction(kSignals[i], &action, &old_actions_[i]);
}

FaultHandler::~FaultHandler() {
  for (int i = 0; i < kNumSignals; ++i) sigaction(kSignals[i], &old_actions_[i], nullptr);
  sigaltstack(&old_stack_, nullptr);
}

}  // namespace jdg::emu
