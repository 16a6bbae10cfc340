// Reading the attributes of a custom call: the value, or an exception that
// names the attribute and says what came.

#ifndef JAX_DEEPGEMM_FFI_ATTRIBUTES_H_
#define JAX_DEEPGEMM_FFI_ATTRIBUTES_H_

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace jax_deepgemm {

// Returns attribute `name` as a T. Throws std::invalid_argument.
template <typename T>
T Get(const xla::ffi::Dictionary& attributes, std::string_view name) {
  const xla::ffi::ErrorOr<T> value = attributes.get<T>(name);
  if (value.has_error()) {
    throw std::invalid_argument("attribute '" + std::string(name) +
                                "': " + value.error().message());
  }
  return *value;
}

// Returns `value` as the narrower T. Throws std::invalid_argument.
template <typename T>
T Narrow(int64_t value, std::string_view name) {
  bool fits = value >= 0;
  if constexpr (sizeof(T) < sizeof(int64_t)) {
    fits = fits && value <= int64_t{std::numeric_limits<T>::max()};
  }
  if (!fits) {
    throw std::invalid_argument("attribute '" + std::string(name) + "' is " +
                                std::to_string(value) + ", out of range");
  }
  return static_cast<T>(value);
}

// Returns attribute `name`, an int64 array, as non-negative T.
template <typename T>
std::vector<T> GetSizes(const xla::ffi::Dictionary& attributes, std::string_view name) {
  std::vector<T> sizes;
  for (int64_t value : Get<xla::ffi::Span<const int64_t>>(attributes, name)) {
    sizes.push_back(Narrow<T>(value, name));
  }
  return sizes;
}

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_ATTRIBUTES_H_
