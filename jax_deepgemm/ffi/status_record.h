// What a kernel that waited in vain leaves in host memory.

#ifndef JAX_DEEPGEMM_FFI_STATUS_RECORD_H_
#define JAX_DEEPGEMM_FFI_STATUS_RECORD_H_

#include <cstdint>
#include <stdexcept>
#include <string>

namespace jax_deepgemm {

// Written by a device; the code last, with a release. The words are those of
// cuda/common/symmetric_arena.cuh.
struct alignas(64) StatusRecord {
  uint32_t code;          // StatusCode
  uint32_t rank;          // Whose record it is.
  uint32_t epoch;         // Its call, counted from 1.
  uint32_t phase;         // 1 counts, 2 rows, 3 results
  uint32_t awaited_rank;  // Of which rank.
  uint32_t seen;
  uint32_t expected;
  uint32_t reserved[9];
};
static_assert(sizeof(StatusRecord) == 64);

enum StatusCode : uint32_t { kNoFault = 0, kTimeOut = 1, kPeerAborted = 2, kShapesDiffer = 3 };

// What becomes an error that XLA calls ABORTED.
class AbortedError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Returns the code of a record that a device may be writing.
uint32_t ReadCode(const StatusRecord& record);

// Returns what `record`, whose code was read and is a fault, says.
std::string FaultText(const StatusRecord& record);

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_STATUS_RECORD_H_
