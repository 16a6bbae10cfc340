// One launch as the Python side describes it; plain C structures for ctypes.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct JdgBuffer {
  void* data;
  uint64_t bytes;
  int32_t device;  // Whose kernels alone may touch it, or -1.
};

// Before the launch the address of buffer `target` is written to byte `offset` of another.
struct JdgPointer {
  uint32_t buffer;
  uint32_t target;
  uint64_t offset;
};

enum JdgKind : int32_t { kJdgBuffer = 0, kJdgScalar = 1, kJdgTensorMap = 2 };

struct JdgParam {
  int32_t kind;
  int32_t index;         // Buffer of a pointer or a map.
  uint64_t value;        // Bits of a scalar; of others where in the buffer they point.
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
  uint32_t device;
  uint32_t cta;
  uint32_t thread;
};

struct JdgLaunch {
  uint32_t grid[3];
  uint32_t cluster;
  uint32_t threads;
  uint32_t smem_bytes;
  uint32_t num_params;
  uint32_t device;
  const JdgParam* params;
  const char* const* roles;  // Of each warp, or null.
  // Defined with the kernel as jdg_invoke_* and jdg_parameter_bytes_*: calls it with `params`,
  // which point to its arguments, and returns how many parameters there are, and their sizes.
  void (*invoke)(const void* const* params);
  size_t (*parameter_bytes)(const size_t** bytes);
};

// Launches of one or more devices: one after the other on each, and all devices at once.
struct JdgSystem {
  uint32_t num_devices;
  uint32_t num_launches;
  uint32_t num_buffers;
  uint32_t num_pointers;
  const JdgLaunch* launches;
  const JdgBuffer* buffers;
  const JdgPointer* pointers;
  const JdgTrace* trace;  // Or null.
};

// Runs all launches. Returns 0, or 1 and why in `message`.
int jdg_emulate(const JdgSystem* system, uint64_t seed, char* message, size_t message_bytes);
}
