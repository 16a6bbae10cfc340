// A TMA map as an attribute of the call describes it: everything but the
// address.

#ifndef JAX_DEEPGEMM_FFI_TENSOR_MAP_H_
#define JAX_DEEPGEMM_FFI_TENSOR_MAP_H_

#include <cstdint>
#include <vector>

#include "cuda_driver.h"
#include "xla/ffi/api/ffi.h"

namespace jax_deepgemm {

struct TensorMapSpec {
  int dtype;                      // CUtensorMapDataType
  std::vector<uint64_t> dims;     // Elements, innermost first.
  std::vector<uint64_t> strides;  // Bytes, of dims 1 and up.
  std::vector<uint32_t> box;      // Elements, innermost first.
  int swizzle;                    // CUtensorMapSwizzle
  int l2_promotion;               // CUtensorMapL2promotion
};

// Returns the map that `attributes` describe. Throws std::invalid_argument.
TensorMapSpec DecodeTensorMap(const xla::ffi::Dictionary& attributes);

// Returns the 128-byte map of `spec` at `address`. Throws std::runtime_error
// with the driver's reason and every argument, since the driver's own says
// neither.
cuda::TensorMap EncodeTensorMap(const cuda::Driver& driver, const TensorMapSpec& spec,
                                void* address);

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_TENSOR_MAP_H_
