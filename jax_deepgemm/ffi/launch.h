// THE custom call: one target that launches every kernel.

#ifndef JAX_DEEPGEMM_FFI_LAUNCH_H_
#define JAX_DEEPGEMM_FFI_LAUNCH_H_

#include "xla/ffi/api/ffi.h"

namespace jax_deepgemm {

// At compile time, and again when a compiled program is loaded: decodes the
// attributes and finds or compiles the kernels.
XLA_FFI_DECLARE_HANDLER_SYMBOL(JaxDeepgemmInstantiate);

// Before every run on a device: loads the kernels at the first.
XLA_FFI_DECLARE_HANDLER_SYMBOL(JaxDeepgemmInitialize);

// The launches. Never allocates device memory, synchronises or, after
// initialize, loads: XLA may be capturing a CUDA graph.
XLA_FFI_DECLARE_HANDLER_SYMBOL(JaxDeepgemmExecute);

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_LAUNCH_H_
