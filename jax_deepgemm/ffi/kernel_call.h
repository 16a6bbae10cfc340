// One custom call: its launches, decoded from the attributes once, and what
// each device needs to run them.

#ifndef JAX_DEEPGEMM_FFI_KERNEL_CALL_H_
#define JAX_DEEPGEMM_FFI_KERNEL_CALL_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <variant>
#include <vector>

#include "cuda_driver.h"
#include "device_context.h"
#include "kernel_registry.h"
#include "tensor_map.h"
#include "xla/ffi/api/ffi.h"

namespace jax_deepgemm {

// An address `offset` bytes into buffer `index`: operands, results, arenas.
struct BufferParam {
  int64_t index;
  int64_t offset;
};

// 4 or 8 bytes, as the kernel's parameter has.
struct ScalarParam {
  alignas(8) std::array<char, 8> bytes;
};

// A TMA map over buffer `index` from byte `offset` on.
struct TensorMapParam {
  int64_t index;
  int64_t offset;
  TensorMapSpec spec;
};

using Param = std::variant<BufferParam, ScalarParam, TensorMapParam>;

struct Launch {
  Recipe recipe;
  std::array<uint32_t, 3> grid;
  std::array<uint32_t, 3> cluster;
  uint32_t threads;
  uint32_t shared_bytes;
  bool programmatic_dependent_launch;
  std::vector<Param> params;

  CompiledKernel* kernel = nullptr;
  std::array<cuda::Function, kMaxDevices> functions{};  // By device ordinal.

  int64_t ClusterSize() const { return int64_t{cluster[0]} * cluster[1] * cluster[2]; }
  bool IsEmpty() const { return grid[0] == 0 || grid[1] == 0 || grid[2] == 0; }
};

// XLA's state of one custom call, shared by all devices and threads that run
// it.
struct KernelCall {
  static inline xla::ffi::TypeId id = {};
  static inline xla::ffi::TypeInfo info = xla::ffi::MakeTypeInfo<KernelCall>();

  std::vector<Launch> launches;
  std::vector<int64_t> arenas;  // Handles.

  // Once `ready` for a device, its `functions` no longer change and are read
  // without the lock: XLA asks before every run, graph replays included.
  std::array<std::atomic<bool>, kMaxDevices> ready{};
  std::mutex mutex;
};

// Returns the launches that the attributes describe, their kernels not yet
// looked up. Throws std::invalid_argument.
std::vector<Launch> DecodeLaunches(const xla::ffi::Dictionary& attributes);

// Returns the handles of the arenas that the attributes name, which may be none.
// Throws std::invalid_argument.
std::vector<int64_t> DecodeArenas(const xla::ffi::Dictionary& attributes);

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_KERNEL_CALL_H_
