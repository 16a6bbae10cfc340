#include "runtime/trace.h"

#include "runtime/error.h"

namespace jdg::emu {

Trace::Trace(const JdgTrace* what) {
  if (what == nullptr) return;
  device_ = what->device;
  cta_ = what->cta;
  thread_ = what->thread;
  file_ = std::fopen(what->path, "w");
  if (file_ == nullptr) throw Error("cannot write the trace");
}

Trace::~Trace() {
  if (file_ != nullptr) std::fclose(file_);
}

void Trace::write(uint64_t step, const std::string& text) {
  std::fprintf(file_, "%lu: %s\n", static_cast<unsigned long>(step), text.c_str());
}

}  // namespace jdg::emu
