#include "runtime/shared_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "runtime/error.h"

namespace jdg {
namespace {

constexpr uint32_t kPage = 4096;

}  // namespace

alignas(kPage) unsigned char smem_bytes[emu::SharedMemory::kWindowBytes];

namespace emu {

SharedMemory::SharedMemory(uint32_t bytes)
    : size_(bytes),
      mapped_((std::max(bytes, 1u) + kPage - 1) / kPage * kPage),
      file_(memfd_create("shared memory", 0)),
      async_(mapped_, kPoison),
      generic_states_(mapped_, kNothing),
      async_states_(mapped_, kNothing),
      reserved_(mapped_ / 8) {
  if (mapped_ > kWindowBytes) throw Error("more shared memory than an SM has");
  if (file_ < 0 || ftruncate(file_, mapped_) != 0) throw Error("no memory for a CTA");
  void* view = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (view == MAP_FAILED) throw Error("no memory for a CTA");
  generic_ = static_cast<uint8_t*>(view);
  std::memset(generic_, kPoison, mapped_);
}

SharedMemory::~SharedMemory() {
  munmap(generic_, mapped_);
  close(file_);
}

void SharedMemory::map_window() const {
  mmap(smem_bytes, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, file_,
       0);
  if (mapped_ < kWindowBytes) {
    mprotect(smem_bytes + mapped_, kWindowBytes - mapped_, PROT_NONE);
  }
}

uint32_t SharedMemory::address_of(const void* pointer) {
  const auto offset = static_cast<const unsigned char*>(pointer) - smem_bytes;
  if (offset < 0 || offset >= kWindowBytes)
    throw Error("a pointer does not point to shared memory");
  return static_cast<uint32_t>(offset);
}

const uint8_t* SharedMemory::read_async(uint32_t address, uint32_t count, const char* what) const {
  check(address, count, 1, what);
  return &async_[address];
}

void SharedMemory::write_async(uint32_t address, const void* data, uint32_t count,
                               const char* what) {
  check_no_barrier(address, count, what);
  std::memcpy(generic_ + address, data, count);
  std::memcpy(&async_[address], data, count);
  std::fill_n(&generic_states_[address], count, kWritten);
  std::fill_n(&async_states_[address], count, kWritten);
}

void SharedMemory::write_generic(uint32_t address, const void* data, uint32_t count,
                                 const char* what) {
  check_no_barrier(address, count, what);
  std::memcpy(generic_ + address, data, count);
  mark_not_fenced(address, count);
}

void SharedMemory::note_store(uint32_t address, uint32_t count) {
  check_no_barrier(address, count, "a store");
  mark_not_fenced(address, count);
}

void SharedMemory::mark_not_fenced(uint32_t address, uint32_t count) {
  std::memset(&async_[address], kPoison, count);
  std::fill_n(&generic_states_[address], count, kWritten);
  std::fill_n(&async_states_[address], count, kNotFenced);
}

void SharedMemory::publish(uint32_t address, uint32_t count) {
  std::memcpy(&async_[address], generic_ + address, count);
  std::copy_n(&generic_states_[address], count, &async_states_[address]);
}

void SharedMemory::poison(uint32_t address, uint32_t count) {
  std::memset(generic_ + address, kPoison, count);
  std::memset(&async_[address], kPoison, count);
  std::fill_n(&generic_states_[address], count, kGone);
  std::fill_n(&async_states_[address], count, kGone);
}

void SharedMemory::check_load(uint32_t address, uint32_t count) const {
  check_no_barrier(address, count, "a load");
  check_states(generic_states_, address, count, "a load");
}

void SharedMemory::check_async(uint32_t address, uint32_t count, const char* what) const {
  check_states(async_states_, address, count, what);
}

void SharedMemory::check_states(const std::vector<State>& states, uint32_t address, uint32_t count,
                                const char* what) {
  static constexpr const char* kWhy[] = {
      "that nothing wrote",
      "",
      "that a thread wrote and no proxy fence shows",
      "that was released, or that a copy under way overwrites",
  };
  for (uint32_t i = address; i < address + count; ++i) {
    if (states[i] == kWritten) continue;
    throw Error(format("%s: reads shared address 0x%x, %s", what, i, kWhy[states[i]]));
  }
}

void SharedMemory::reserve_barrier(uint32_t address) {
  check(address, 8, 8, "mbarrier.init");
  reserved_[address / 8] = true;
}

void SharedMemory::check(uint32_t address, uint32_t count, uint32_t alignment,
                         const char* what) const {
  if (address % alignment != 0) {
    throw Error(
        format("%s: shared address 0x%x is not a multiple of %u", what, address, alignment));
  }
  if (address > size_ || count > size_ - address) {
    throw Error(format("%s: %u bytes at shared address 0x%x reach past the CTA's %u bytes", what,
                       count, address, size_));
  }
}

void SharedMemory::check_no_barrier(uint32_t address, uint32_t count, const char* what) const {
  check(address, count, 1, what);
  for (uint32_t word = address / 8; word <= (address + count - 1) / 8; ++word) {
    if (reserved_[word]) {
      throw Error(format("%s: touches the mbarrier at shared address 0x%x", what, word * 8));
    }
  }
}

}  // namespace emu
}  // namespace jdg
