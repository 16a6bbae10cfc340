// One launch as the Python side describes it; plain C structures for ctypes.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct JdgBuffer {
  void* data;
  uint64_t bytes;
};

enum JdgKind : int32_t { kJdgBuffer = 0, kJdgScalar = 1, kJdgTensorMap = 2 };

struct JdgParam {
  int32_t kind;
  int32_t index;         // Buffer of a pointer or a map.
  uint64_t value;        // Bits of a scalar.
  uint64_t value_bytes;  // Size of a scalar.
  int32_t rank;
  int32_t element;  // An Element.
  uint64_t dims[5];
  uint64_t strides[4];
  uint32_t box[5];
  int32_t swizzle;
};

// Which thread's operations are written to `path`.
struct JdgTrace {
  const char* path;
  uint32_t cta;
  uint32_t thread;
};

struct JdgLaunch {
  uint32_t grid[3];
  uint32_t cluster;
  uint32_t threads;
  uint32_t smem_bytes;
  uint32_t num_buffers;
  uint32_t num_params;
  JdgBuffer* buffers;
  const JdgParam* params;
  const char* const* roles;  // Of each warp, or null.
  const JdgTrace* trace;     // Or null.
};

// Runs the kernel. Returns 0, or 1 and why in `message`.
int jdg_emulate(const JdgLaunch* launch, uint64_t seed, char* message, size_t message_bytes);

// Defined with the kernel: calls it with `params`, which point to its arguments.
void jdg_invoke(const void* const* params);
// Sizes of the kernel's parameters; returns how many there are.
size_t jdg_parameter_bytes(const size_t** bytes);
}
