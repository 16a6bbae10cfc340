#include "kernel_launch.h"

#include <algorithm>
#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>
#include <variant>

namespace jax_deepgemm {
namespace {

// What cuLaunchKernelEx reads the kernel's parameters from.
class Arguments {
 public:
  Arguments(const cuda::Driver& driver, const std::vector<Param>& params,
            const std::vector<void*>& buffers)
      : driver_(driver), buffers_(buffers) {
    maps_.reserve(params.size());  // Addresses of elements are kept below.
    pointers_.reserve(params.size());
    addresses_.reserve(params.size());
    for (const Param& param : params) {
      try {
        addresses_.push_back(const_cast<void*>(std::visit(*this, param)));
      } catch (const std::exception& error) {
        throw std::runtime_error("parameter " + std::to_string(addresses_.size()) + ": " +
                                 error.what());
      }
    }
  }

  void** data() { return addresses_.data(); }

  const void* operator()(const BufferParam& param) {
    pointers_.push_back(Address(param.index, param.offset));
    return &pointers_.back();
  }
  const void* operator()(const ScalarParam& param) { return param.bytes.data(); }
  const void* operator()(const TensorMapParam& param) {
    maps_.push_back(EncodeTensorMap(driver_, param.spec, Address(param.index, param.offset)));
    return &maps_.back();
  }

 private:
  void* Address(int64_t index, int64_t offset) const {
    if (index >= static_cast<int64_t>(buffers_.size())) {
      throw std::runtime_error("index " + std::to_string(index) +
                               " is out of range; the call has " + std::to_string(buffers_.size()) +
                               " operands, results and arenas");
    }
    return static_cast<char*>(buffers_[index]) + offset;
  }

  const cuda::Driver& driver_;
  const std::vector<void*>& buffers_;
  std::vector<cuda::TensorMap> maps_;
  std::vector<void*> pointers_;
  std::vector<void*> addresses_;
};

// The launch attributes that differ from the driver's defaults.
class Attributes {
 public:
  explicit Attributes(const Launch& launch) {
    if (launch.ClusterSize() > 1) {
      std::copy(launch.cluster.begin(), launch.cluster.end(), Add(cuda::kClusterDimension).cluster);
    }
    if (launch.programmatic_dependent_launch) {
      Add(cuda::kProgrammaticSerialization).programmatic_serialization = 1;
    }
  }

  cuda::LaunchAttribute* data() { return attributes_; }
  unsigned int size() const { return size_; }

 private:
  cuda::LaunchAttribute::Value& Add(int id) {
    attributes_[size_].id = id;
    return attributes_[size_++].value;
  }

  cuda::LaunchAttribute attributes_[2] = {};
  unsigned int size_ = 0;
};

std::string Describe(const Launch& launch) {
  auto extent = [](const std::array<uint32_t, 3>& size) {
    return "(" + std::to_string(size[0]) + ", " + std::to_string(size[1]) + ", " +
           std::to_string(size[2]) + ")";
  };
  return "grid=" + extent(launch.grid) + " cluster=" + extent(launch.cluster) +
         " threads=" + std::to_string(launch.threads) +
         " smem_bytes=" + std::to_string(launch.shared_bytes) +
         " pdl=" + std::to_string(launch.programmatic_dependent_launch);
}

}  // namespace

void LaunchKernel(const cuda::Driver& driver, const Launch& launch, int ordinal,
                  const std::vector<void*>& buffers, cuda::Stream stream) {
  Arguments arguments(driver, launch.params, buffers);
  Attributes attributes(launch);
  const cuda::LaunchConfig config = {{launch.grid[0], launch.grid[1], launch.grid[2]},
                                     {launch.threads, 1, 1},
                                     launch.shared_bytes,
                                     stream,
                                     attributes.data(),
                                     attributes.size()};
  const cuda::Result result =
      driver.cuLaunchKernelEx(&config, launch.functions[ordinal], arguments.data(), nullptr);
  if (result != 0) {
    throw std::runtime_error(cuda::ErrorText(driver, result, "cuLaunchKernelEx") + " for " +
                             Describe(launch));
  }
}

}  // namespace jax_deepgemm
