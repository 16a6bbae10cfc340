// The CUDA context of a device, known by XLA's ordinal of it in this process.

#ifndef JAX_DEEPGEMM_FFI_DEVICE_CONTEXT_H_
#define JAX_DEEPGEMM_FFI_DEVICE_CONTEXT_H_

#include "cuda_driver.h"

namespace jax_deepgemm {

// More GPUs than any host gives one process.
inline constexpr int kMaxDevices = 64;

// Returns `ordinal`. Throws std::runtime_error unless the tables have room for
// it.
int CheckOrdinal(int ordinal);

// Returns the driver's handle of device `ordinal`. Throws std::runtime_error.
cuda::Device GetDevice(const cuda::Driver& driver, int ordinal);

// Makes the primary context of device `ordinal`, which XLA uses too, current in
// this scope. Pushes nothing if it already is. Throws std::runtime_error.
class ScopedContext {
 public:
  ScopedContext(const cuda::Driver& driver, int ordinal);
  ~ScopedContext();
  ScopedContext(const ScopedContext&) = delete;
  ScopedContext& operator=(const ScopedContext&) = delete;

 private:
  const cuda::Driver& driver_;
  bool pushed_ = false;
};

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_DEVICE_CONTEXT_H_
