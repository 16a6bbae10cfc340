#include "kernel_call.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

#include "attributes.h"

namespace jax_deepgemm {
namespace {

namespace ffi = ::xla::ffi;

std::string GetString(const ffi::Dictionary& attributes, const char* name) {
  return std::string(Get<std::string_view>(attributes, name));
}

template <typename T>
ScalarParam MakeScalar(T value) {
  ScalarParam scalar{};
  std::memcpy(scalar.bytes.data(), &value, sizeof(value));
  return scalar;
}

ScalarParam DecodeInt32(const ffi::Dictionary& attributes) {
  const int64_t value = Get<int64_t>(attributes, "value");
  // Either sign convention: the kernel's parameter may be unsigned.
  if (value < INT32_MIN || value > UINT32_MAX) {
    throw std::invalid_argument("attribute 'value' is " + std::to_string(value) +
                                ", which 32 bits cannot hold");
  }
  return MakeScalar(static_cast<uint32_t>(value));
}

ScalarParam DecodeFloat32(const ffi::Dictionary& attributes) {
  const bool is_double = attributes.contains<double>("value");
  return MakeScalar(is_double ? static_cast<float>(Get<double>(attributes, "value"))
                              : Get<float>(attributes, "value"));
}

// An attribute that is only there where it is not 0.
int64_t GetOffset(const ffi::Dictionary& attributes) {
  if (!attributes.contains("offset")) return 0;
  return Narrow<int64_t>(Get<int64_t>(attributes, "offset"), "offset");
}

Param DecodeParam(const ffi::Dictionary& attributes) {
  const auto kind = Get<std::string_view>(attributes, "kind");
  if (kind == "i32") return DecodeInt32(attributes);
  if (kind == "i64") return MakeScalar(Get<int64_t>(attributes, "value"));
  if (kind == "f32") return DecodeFloat32(attributes);
  if (kind != "buffer" && kind != "tensor_map") {
    throw std::invalid_argument("unknown kind '" + std::string(kind) +
                                "'; expected one of buffer i32 i64 f32 tensor_map");
  }
  const int64_t index = Narrow<int64_t>(Get<int64_t>(attributes, "index"), "index");
  const int64_t offset = GetOffset(attributes);
  if (kind == "buffer") return BufferParam{index, offset};
  return TensorMapParam{index, offset, DecodeTensorMap(attributes)};
}

std::vector<Param> DecodeParams(const ffi::Dictionary& attributes) {
  std::vector<Param> params;
  // Sorted by name, so "p00", "p01", ... come in the kernel's order.
  for (auto it = attributes.begin(); it != attributes.end(); ++it) {
    const std::string position = std::to_string(params.size());
    const std::string expected = (params.size() < 10 ? "p0" : "p") + position;
    if (*it != expected) {
      throw std::invalid_argument("parameter " + position + " is named '" + std::string(*it) +
                                  "'; expected '" + expected + "'");
    }
    try {
      params.push_back(DecodeParam(Get<ffi::Dictionary>(attributes, *it)));
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("parameter " + position + ": " + error.what());
    }
  }
  return params;
}

std::array<uint32_t, 3> GetExtent(const ffi::Dictionary& attributes, const char* name) {
  const auto sizes = GetSizes<uint32_t>(attributes, name);
  if (sizes.size() != 3) {
    throw std::invalid_argument("attribute '" + std::string(name) + "' has " +
                                std::to_string(sizes.size()) + " numbers; expected 3");
  }
  return {sizes[0], sizes[1], sizes[2]};
}

Launch DecodeLaunch(const ffi::Dictionary& attributes) {
  Launch launch;
  launch.recipe = {GetString(attributes, "kernel"),      GetString(attributes, "source"),
                   GetString(attributes, "arch"),        GetString(attributes, "flags"),
                   GetString(attributes, "fingerprint"), ""};
  if (attributes.contains("cubin")) {
    launch.recipe.cubin = GetString(attributes, "cubin");
  }
  launch.grid = GetExtent(attributes, "grid");
  launch.cluster = GetExtent(attributes, "cluster");
  launch.threads = Narrow<uint32_t>(Get<int64_t>(attributes, "threads"), "threads");
  launch.shared_bytes = Narrow<uint32_t>(Get<int64_t>(attributes, "smem_bytes"), "smem_bytes");
  launch.programmatic_dependent_launch = Get<bool>(attributes, "pdl");
  launch.params = DecodeParams(Get<ffi::Dictionary>(attributes, "params"));
  return launch;
}

}  // namespace

std::vector<Launch> DecodeLaunches(const ffi::Dictionary& attributes) {
  std::vector<Launch> launches;
  const int64_t num_launches = Get<int64_t>(attributes, "num_launches");
  for (int64_t i = 0; i < num_launches; ++i) {
    const std::string name = "launch" + std::to_string(i);
    try {
      launches.push_back(DecodeLaunch(Get<ffi::Dictionary>(attributes, name)));
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(name + ": " + error.what());
    }
  }
  return launches;
}

std::vector<int64_t> DecodeArenas(const ffi::Dictionary& attributes) {
  if (!attributes.contains("arenas")) return {};
  return GetSizes<int64_t>(attributes, "arenas");
}

}  // namespace jax_deepgemm
