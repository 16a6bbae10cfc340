// What the launcher has done since the last reset. CUDA graphs are invisible in
// optimised HLO; a test sees a replay as a run in which `executes` stands
// still.

#ifndef JAX_DEEPGEMM_FFI_COUNTERS_H_
#define JAX_DEEPGEMM_FFI_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace jax_deepgemm {

struct Counters {
  std::atomic<int64_t> executes{0};      // Calls of the execute handler.
  std::atomic<int64_t> captures{0};      // Of them, into a CUDA graph.
  std::atomic<int64_t> instantiates{0};  // Call sites compiled or loaded.
  std::atomic<int64_t> loads{0};         // Modules given to the driver.

  static Counters& Global() {
    static Counters counters;
    return counters;
  }
};

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_COUNTERS_H_
