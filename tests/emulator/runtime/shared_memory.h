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
  static constexpr uint32_t kWindowBytes = 256 * 1024;

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

  // A thread's own load or store, about to happen. Throws if it reaches past the end, touches an
  // mbarrier, or loads what nothing defined.
  void check_load(uint32_t address, uint32_t count) const;
  void note_store(uint32_t address, uint32_t count);

  // Throws if the async view of one of these bytes is undefined.
  void check_async(uint32_t address, uint32_t count, const char* what) const;

  // Makes any write to the 8 bytes of an mbarrier an error.
  void reserve_barrier(uint32_t address);
  void free_barrier(uint32_t address) { reserved_[address / 8] = false; }

  void check(uint32_t address, uint32_t count, uint32_t alignment, const char* what) const;

 private:
  // What a byte holds, in one of the views; all but kWritten mean poison.
  enum State : uint8_t { kNothing, kWritten, kNotFenced, kGone };

  static void check_states(const std::vector<State>& states, uint32_t address, uint32_t count,
                           const char* what);
  void mark_not_fenced(uint32_t address, uint32_t count);
  void check_no_barrier(uint32_t address, uint32_t count, const char* what) const;

  uint32_t size_;
  uint32_t mapped_;
  int file_;
  uint8_t* generic_;
  std::vector<uint8_t> async_;
  std::vector<State> generic_states_;
  std::vector<State> async_states_;
  std::vector<bool> reserved_;  // Per 8 bytes.
};

}  // namespace emu
}  // namespace jdg
