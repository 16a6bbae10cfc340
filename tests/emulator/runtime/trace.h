// What one thread of a launch did, and when, for someone who looks for a mistake.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "runtime/launch.h"

namespace jdg::emu {

class Trace {
 public:
  // Writes nothing if `what` is null.
  explicit Trace(const JdgTrace* what);
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
  ~Trace();

  bool wants(uint32_t device, uint32_t cta, uint32_t thread) const {
    return file_ != nullptr && device == device_ && cta == cta_ && thread == thread_;
  }

  void write(uint64_t step, const std::string& text);

 private:
  std::FILE* file_ = nullptr;
  uint32_t device_ = 0;
  uint32_t cta_ = 0;
  uint32_t thread_ = 0;
};

}  // namespace jdg::emu
