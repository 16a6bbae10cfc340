#include "runtime/guarded_buffer.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace jdg::emu {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 16;

size_t round_up(size_t x, size_t multiple) { return (x + multiple - 1) / multiple * multiple; }

}  // namespace

GuardedBuffer::GuardedBuffer(void* original, uint64_t bytes, int32_t device)
    : original_(original),
      bytes_(bytes),
      device_(device),
      mapped_(round_up(bytes, kPage) + 2 * kPage) {
  void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<uint8_t*>(memory);
  mprotect(mapping_, kPage, PROT_NONE);
  mprotect(mapping_ + mapped_ - kPage, kPage, PROT_NONE);
  std::memset(mapping_ + kPage, 0xFF, mapped_ - 2 * kPage);
  data_ = mapping_ + mapped_ - kPage - round_up(bytes, kAlignment);
  std::memcpy(data_, original, bytes);
}

GuardedBuffer::GuardedBuffer(GuardedBuffer&& other) noexcept
    : original_(other.original_),
      bytes_(other.bytes_),
      device_(other.device_),
      data_(other.data_),
      mapping_(other.mapping_),
      mapped_(other.mapped_) {
  other.mapping_ = nullptr;
}

GuardedBuffer::~GuardedBuffer() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_);
}

void GuardedBuffer::write_back() const { std::memcpy(original_, data_, bytes_); }

}  // namespace jdg::emu
