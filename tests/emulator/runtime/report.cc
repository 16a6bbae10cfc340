// What a launch says when it goes wrong.
#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <tuple>
#include <utility>

#include "runtime/machine.h"

// From the linker.
extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _edata[] __attribute__((visibility("hidden")));
}

namespace jdg::emu {

std::string code_address(const void* caller) {
  Dl_info info;
  if (caller == nullptr || dladdr(caller, &info) == 0) return "kernel";
  // One byte back: a return address belongs to the line after the call.
  const auto offset = static_cast<const char*>(caller) - static_cast<char*>(info.dli_fbase) - 1;
  return format("kernel+0x%lx", static_cast<unsigned long>(offset));
}

namespace {

std::string describe(const void* address) {
  const auto offset = static_cast<const unsigned char*>(address) - smem_bytes;
  if (offset >= 0 && offset < 256 * 1024) {
    return format("an access to shared address 0x%lx, outside the CTA's", offset);
  }
  return format("an access to %p, outside every buffer", address);
}

// Whether this lies in the library before its variables: constants of the kernel.
bool is_constant(const void* pointer) { return pointer >= __ehdr_start && pointer < _edata; }

std::string barrier_state(const Cta& cta) {
  std::string text;
  for (const auto& [address, barrier] : cta.barriers) {
    const bool too_many = barrier.bytes < 0;
    text += format("\n  CTA %u, mbarrier 0x%x: phase %lu, %u of %u arrivals and %ld bytes %s",
                   cta.index, address, static_cast<unsigned long>(barrier.phase), barrier.pending,
                   barrier.expected, std::abs(static_cast<long>(barrier.bytes)),
                   too_many ? "more than expected" : "to come");
    if (barrier.bytes != 0) text += "\n    last expected by " + barrier.expected_by;
  }
  return text;
}

}  // namespace

std::string Machine::where(const Thread& thread) const {
  return where(thread, format("lane %u", thread.lane));
}

std::string Machine::where(const Thread& thread, const std::string& lanes) const {
  const uint32_t warp = thread.index / 32;
  const Grid& grid = *thread.cta->grid;
  const char* const* roles = grid.launch.roles;
  const std::string role = roles == nullptr ? "" : format(" (%s)", roles[warp]);
  const std::string device = has_devices() ? format("rank %u, ", grid.device) : "";
  return device +
         format("CTA %u, warp %u%s, %s: %s at ", thread.cta->index, warp, role.c_str(),
                lanes.c_str(), thread.operation) +
         code_address(thread.caller);
}

// One line for all lanes of a warp that wait for the same.
std::string Machine::deadlock() const {
  std::string text;
  for (const Cta* cta : ctas_) {
    using Wait = std::tuple<uint32_t, const void*, std::string>;
    std::map<Wait, std::pair<const Thread*, uint32_t>> lanes;
    for (const auto& thread : cta->threads) {
      if (thread->done) continue;
      auto& entry = lanes[{thread->index / 32, thread->caller, thread->waits_for}];
      entry.first = thread.get();
      entry.second |= 1u << thread->lane;
    }
    for (const auto& [wait, entry] : lanes) {
      const auto& [thread, mask] = entry;
      text +=
          "\n  " + where(*thread, format("lanes 0x%08x", mask)) + " waits for " + thread->waits_for;
    }
    text += barrier_state(*cta);
  }
  return text;
}

void Machine::trace(const Thread& thread, const char* what, const char* operation,
                    const void* caller) {
  if (!trace_.wants(thread.cta->grid->device, thread.cta->index, thread.index)) return;
  const std::string place = caller == nullptr ? "" : " at " + code_address(caller);
  trace_.write(num_steps_, what + (operation + place));
}

void Machine::fault(const void* address, const void* location) {
  if (running_ == nullptr) {
    // Nothing of the kernel's runs: the emulator itself is wrong.
    std::fprintf(stderr, "the emulator touches %p\n", address);
    std::abort();
  }
  note_error(
      address == nullptr ? "an index out of bounds or an address not aligned" : describe(address),
      "a load or store", location);
  running_->fiber.abandon();
}

void Machine::note_error(const std::string& error, const char* operation, const void* location) {
  running_->operation = operation;
  running_->caller = location;
  error_ = error + "\n  " + where(*running_);
}

void Machine::check_global(const void* pointer, uint32_t count, const char* what) const {
  for (size_t i = 0; i < buffers_->size(); ++i) {
    const GuardedBuffer& buffer = (*buffers_)[i];
    if (!buffer.is_near(pointer)) continue;
    const auto offset = static_cast<const uint8_t*>(pointer) - buffer.data();
    if (offset < 0 || offset + count > buffer.bytes()) {
      throw Error(format("%s: %u bytes at byte %ld of buffer %zu, which has %lu", what, count,
                         static_cast<long>(offset), i, static_cast<unsigned long>(buffer.bytes())));
    }
    if (!buffer.is_of(running_->cta->grid->device)) {
      throw Error(format("%s: buffer %zu is another rank's", what, i));
    }
    if (running_->previous_kernel_done) return;
    throw Error("uses global memory before it waits for the previous kernel");
  }
  if (is_constant(pointer)) return;
  throw Error(format("%s: %u bytes outside every buffer", what, count));
}

void Machine::check_end(const Grid& grid) const {
  for (const auto& cta : grid.ctas) {
    for (const auto& [address, barrier] : cta->barriers) {
      if (barrier.bytes == 0) continue;
      throw Error(format("the kernel ends with %ld bytes outstanding at mbarrier 0x%x of CTA %u",
                         static_cast<long>(barrier.bytes), address, cta->index) +
                  "\n  last expected by " + barrier.expected_by);
    }
  }
}

}  // namespace jdg::emu
