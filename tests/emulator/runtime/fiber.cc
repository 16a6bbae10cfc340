#include "runtime/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace jdg::emu {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr size_t kStackBytes = 128 * 1024;

}  // namespace

Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_, kGuardBytes + kStackBytes);
}

void Fiber::create(void (*entry)(void*), void* argument) {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  stack_ = static_cast<char*>(memory);
  mprotect(stack_, kGuardBytes, PROT_NONE);
  entry_ = entry;
  argument_ = argument;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_ + kGuardBytes;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  // makecontext passes ints only.
  const auto self = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::start), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
}

void Fiber::start(unsigned high, unsigned low) {
  auto* self = reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | low);
  self->entry_(self->argument_);
  __builtin_trap();
}

void Fiber::resume() {
  if (_setjmp(caller_) != 0) return;
  if (started_) _longjmp(self_, 1);
  started_ = true;
  setcontext(&context_);
}

void Fiber::suspend() {
  if (_setjmp(self_) == 0) _longjmp(caller_, 1);
}

void Fiber::abandon() { _longjmp(caller_, 1); }

bool Fiber::owns(const void* pointer, size_t count) const {
  const auto* first = static_cast<const char*>(pointer);
  const char* stack = stack_ + kGuardBytes;
  return first >= stack && first + count <= stack + kStackBytes;
}

}  // namespace jdg::emu
