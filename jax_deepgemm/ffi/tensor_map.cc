#include "tensor_map.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "attributes.h"

namespace jax_deepgemm {
namespace {

namespace ffi = ::xla::ffi;

constexpr size_t kMaxRank = 5;

// The position of a name or size is its number in CUtensorMapDataType,
// CUtensorMapSwizzle and CUtensorMapL2promotion.
constexpr std::string_view kDataTypes[] = {"u8",  "u16", "u32", "i32", "u64",
                                           "i64", "f16", "f32", "f64", "bf16"};
constexpr int64_t kSwizzles[] = {0, 32, 64, 128};
constexpr int64_t kL2Promotions[] = {0, 64, 128, 256};

template <typename T, size_t n>
int PositionIn(const T (&values)[n], const T& value, const char* attribute) {
  const T* found = std::find(values, values + n, value);
  if (found == values + n) {
    std::ostringstream message;
    message << "attribute '" << attribute << "' is " << value << "; expected one of";
    for (const T& known : values) message << ' ' << known;
    throw std::invalid_argument(message.str());
  }
  return static_cast<int>(found - values);
}

template <typename T>
std::string List(const std::vector<T>& values) {
  std::ostringstream text;
  for (const T& value : values) {
    text << (&value == values.data() ? "[" : ", ") << value;
  }
  text << (values.empty() ? "[]" : "]");
  return text.str();
}

}  // namespace

TensorMapSpec DecodeTensorMap(const ffi::Dictionary& attributes) {
  TensorMapSpec spec;
  spec.dtype = PositionIn(kDataTypes, Get<std::string_view>(attributes, "dtype"), "dtype");
  spec.dims = GetSizes<uint64_t>(attributes, "dims");
  spec.strides = GetSizes<uint64_t>(attributes, "strides");
  spec.box = GetSizes<uint32_t>(attributes, "box");
  spec.swizzle = PositionIn(kSwizzles, Get<int64_t>(attributes, "swizzle"), "swizzle");
  spec.l2_promotion =
      PositionIn(kL2Promotions, Get<int64_t>(attributes, "l2_promotion"), "l2_promotion");
  const size_t rank = spec.dims.size();
  if (rank < 1 || rank > kMaxRank || spec.strides.size() != rank - 1 || spec.box.size() != rank) {
    throw std::invalid_argument(
        "a tensor map takes 1 to 5 dims, as many box sizes and one stride "
        "less; got dims=" +
        List(spec.dims) + " strides=" + List(spec.strides) + " box=" + List(spec.box));
  }
  return spec;
}

cuda::TensorMap EncodeTensorMap(const cuda::Driver& driver, const TensorMapSpec& spec,
                                void* address) {
  static constexpr uint32_t kElementStrides[kMaxRank] = {1, 1, 1, 1, 1};
  constexpr int kNoInterleave = 0;
  constexpr int kFillZeros = 0;
  // The driver crashes on a null pointer, though a vector has no strides.
  uint64_t strides[kMaxRank] = {};
  std::copy(spec.strides.begin(), spec.strides.end(), strides);
  cuda::TensorMap map;
  const cuda::Result result = driver.cuTensorMapEncodeTiled(
      &map, spec.dtype, static_cast<uint32_t>(spec.dims.size()), address, spec.dims.data(), strides,
      spec.box.data(), kElementStrides, kNoInterleave, spec.swizzle, spec.l2_promotion, kFillZeros);
  if (result == 0) return map;
  std::ostringstream message;
  message << cuda::ErrorText(driver, result, "cuTensorMapEncodeTiled")
          << " for dtype=" << kDataTypes[spec.dtype] << " dims=" << List(spec.dims)
          << " strides=" << List(spec.strides) << " box=" << List(spec.box)
          << " swizzle=" << kSwizzles[spec.swizzle]
          << " l2_promotion=" << kL2Promotions[spec.l2_promotion] << " address=" << address;
  throw std::runtime_error(message.str());
}

}  // namespace jax_deepgemm
