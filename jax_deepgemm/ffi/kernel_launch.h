// One launch of a loaded kernel.

#ifndef JAX_DEEPGEMM_FFI_KERNEL_LAUNCH_H_
#define JAX_DEEPGEMM_FFI_KERNEL_LAUNCH_H_

#include <vector>

#include "cuda_driver.h"
#include "kernel_call.h"

namespace jax_deepgemm {

// Launches the kernel of `launch` as loaded on device `ordinal`, whose context
// is current. `buffers` are the addresses of the call's operands, then results,
// then arenas.
// Throws std::runtime_error with the driver's reason and what it was asked.
void LaunchKernel(const cuda::Driver& driver, const Launch& launch, int ordinal,
                  const std::vector<void*>& buffers, cuda::Stream stream);

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_KERNEL_LAUNCH_H_
