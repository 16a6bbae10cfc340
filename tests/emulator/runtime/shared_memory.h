// A CTA's shared memory as its threads and as the asynchronous units see it.
#pragma once

#include <cstdint>
#include <vector>

namespace jdg {

// What kernels declare as `extern __shared__`: a window onto the memory of the CTA that runs, at
// one address for all of them, as on the hardware.
extern unsigned char smem_bytes[];

namespace emu {

// Bytes that nothing defined: NaN as e4m3, bfloat16 and float32.
constexpr uint8_t kPoison = 0xFF;

// Threads read and write the generic view. TMA and wgmma read the async view: a thread's write is
// poison there until that thread's proxy fence, since the hardware may show old or new bytes.
class SharedMemory {
 public:
  explicit SharedMemory(uint32_t bytes);
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  // Puts this memory into the window; behind its end the window faults.
  void map_window() const;

  // Where in the window a generic pointer points.
  static uint32_t address_of(const void* pointer);

  uint32_t size() const { return size_; }

  // The async view of `count` bytes.
  const uint8_t* read_async(uint32_t address, uint32_t count, const char* what) const;

  // The generic view from `address` on.
  const uint8_t* read_generic(uint32_t address) const { return generic_ + address; }

  void write_async(uint32_t address, const void* data, uint32_t count, const char* what);
  void write_generic(uint32_t address, const void* data, uint32_t count, const char* what);

  // Shows a thread's writes to the async units.
  void publish(uint32_t address, uint32_t count);

  void poison(uint32_t address, uint32_t count);

  // Makes any write to the 8 bytes of an mbarrier an error.
  void reserve_barrier(uint32_t address);
  void free_barrier(uint32_t address) { reserved_[address / 8] = false; }

  void check(uint32_t address, uint32_t count, uint32_t alignment, const char* what) const;

 private:
  void check_write(uint32_t address, uint32_t count, const char* what) const;

  uint32_t size_;
  uint32_t mapped_;
  int file_;
  uint8_t* generic_;
  std::vector<uint8_t> async_;
  std::vector<bool> reserved_;  // Per 8 bytes.
};

}  // namespace emu
}  // namespace jdg
