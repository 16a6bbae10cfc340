// Global memory that faults where a buffer ends.
#pragma once

#include <cstddef>
#include <cstdint>

namespace jdg::emu {

// A copy of a caller's bytes, up to 15 bytes before an unmapped page: buffers are aligned to 16.
class GuardedBuffer {
 public:
  GuardedBuffer(void* original, uint64_t bytes, int32_t device);
  GuardedBuffer(GuardedBuffer&& other) noexcept;
  ~GuardedBuffer();

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  // Whose kernels may touch it: one device's, or all if negative.
  bool is_of(uint32_t device) const { return device_ < 0 || device_ == static_cast<int>(device); }

  // Whether this is what a pointer was made from: it points to the buffer or its guards.
  bool is_near(const void* pointer) const {
    return pointer >= mapping_ && pointer < mapping_ + mapped_;
  }

  // Copies what the kernel wrote to the original.
  void write_back() const;

 private:
  void* original_;
  uint64_t bytes_;
  int32_t device_;
  uint8_t* data_;
  uint8_t* mapping_;
  size_t mapped_;
};

}  // namespace jdg::emu
