#include "kernel_registry.h"

#include <utility>

#include "counters.h"

namespace jax_deepgemm {

cuda::Function CompiledKernel::Load(const cuda::Driver& driver, cuda::Device device,
                                    int64_t shared_bytes, int64_t cluster_size) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (kernel_ == nullptr) LoadLibrary(driver);
  auto set_attribute = [&](int attribute, int64_t value) {
    cuda::Check(driver,
                driver.cuKernelSetAttribute(attribute, static_cast<int>(value), kernel_, device),
                "cuKernelSetAttribute");
  };
  // Two calls may ask for different amounts: never lower what one relies on.
  int64_t& allowed = shared_bytes_.try_emplace(device, cuda::kDefaultSharedBytes).first->second;
  if (shared_bytes > allowed) {
    set_attribute(cuda::kMaxDynamicSharedSizeBytes, shared_bytes);
    allowed = shared_bytes;
  }
  if (cluster_size > cuda::kPortableClusterSize) {
    set_attribute(cuda::kNonPortableClusterSize, 1);
  }
  cuda::Function function = nullptr;
  cuda::Check(driver, driver.cuKernelGetFunction(&function, kernel_), "cuKernelGetFunction");
  return function;
}

void CompiledKernel::LoadLibrary(const cuda::Driver& driver) {
  cuda::Library library = nullptr;
  cuda::Check(
      driver,
      driver.cuLibraryLoadData(&library, image_.c_str(), nullptr, nullptr, 0, nullptr, nullptr, 0),
      "cuLibraryLoadData");
  Counters::Global().loads.fetch_add(1, std::memory_order_relaxed);
  cuda::Check(driver, driver.cuLibraryGetKernel(&kernel_, library, name_.c_str()),
              "cuLibraryGetKernel");
  image_ = {};  // The driver keeps its own copy.
}

KernelRegistry& KernelRegistry::Global() {
  static auto* registry = new KernelRegistry;
  return *registry;
}

CompiledKernel* KernelRegistry::Find(const Recipe& recipe) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = kernels_.find(recipe);
  return found == kernels_.end() ? nullptr : found->second.get();
}

CompiledKernel* KernelRegistry::Add(const Recipe& recipe, std::string image) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<CompiledKernel>& kernel = kernels_[recipe];
  if (kernel == nullptr) {
    kernel = std::make_unique<CompiledKernel>(recipe.kernel, std::move(image));
  }
  return kernel.get();
}

}  // namespace jax_deepgemm
