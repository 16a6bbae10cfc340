// Memory that calls use beside their operands and results: arenas, by handle
// and device, and what kernels report of them.

#ifndef JAX_DEEPGEMM_FFI_ARENA_REGISTRY_H_
#define JAX_DEEPGEMM_FFI_ARENA_REGISTRY_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "status_record.h"

namespace jax_deepgemm {

// Thread safe.
class ArenaRegistry {
 public:
  static ArenaRegistry& Global();

  // Makes `address` the arena of `handle` on the device of this ordinal.
  void Add(int64_t handle, int ordinal, void* address);

  // Makes `num_records` records at `records` those of `handle`. They are read
  // until Remove.
  void SetBoard(int64_t handle, const StatusRecord* records, size_t num_records);

  // Forgets a handle and its records. Returns once nobody reads them.
  void Remove(int64_t handle);

  // Returns the arena's address. Throws std::runtime_error that names both.
  void* Find(int64_t handle, int ordinal);

  // Returns what a record of `handle` reports, or an empty string.
  std::string Fault(int64_t handle);

  // Throws AbortedError with the text of a record that reports a fault. All
  // devices of a run get the answer that the first one got: XLA ends a process
  // in which one device refuses a run that others wait in.
  void CheckBoard(int64_t handle, std::optional<int64_t> run_id);

 private:
  struct Board {
    const StatusRecord* records;
    size_t num_records;
  };
  struct Verdict {
    int64_t run_id = -1;
    int64_t handle = -1;
    std::string fault;  // Empty where there is none.
    std::chrono::steady_clock::time_point time;
  };

  std::string ReadBoard(int64_t handle) const;
  const Verdict* FindVerdict(int64_t run_id, int64_t handle) const;

  std::mutex mutex_;
  std::map<std::pair<int64_t, int>, void*> addresses_;
  std::map<int64_t, Board> boards_;

  // XLA lets 32 runs of a device wait; these are more than a device can lag
  // behind another with as many buffers in each run.
  std::array<Verdict, 512> verdicts_;
  size_t next_verdict_ = 0;
};

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_ARENA_REGISTRY_H_
