// The Python function that compiles a recipe.

#ifndef JAX_DEEPGEMM_FFI_RESOLVER_H_
#define JAX_DEEPGEMM_FFI_RESOLVER_H_

#include <string>

#include "kernel_registry.h"

struct _object;

namespace jax_deepgemm {

// Makes `resolver`, a new reference to a callable
// (kernel, source, arch, flags, fingerprint) -> bytes, the one that is asked.
// Its predecessor leaks: another thread may be about to call it.
void SetResolver(_object* resolver);

// Returns the cubin of `recipe`. Takes the GIL: the caller holds no lock.
// Throws std::runtime_error with the Python exception.
std::string Resolve(const Recipe& recipe);

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_RESOLVER_H_
