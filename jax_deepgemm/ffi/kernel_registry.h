// The compiled kernels of this process, by recipe.

#ifndef JAX_DEEPGEMM_FFI_KERNEL_REGISTRY_H_
#define JAX_DEEPGEMM_FFI_KERNEL_REGISTRY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "cuda_driver.h"

namespace jax_deepgemm {

// What a kernel is compiled from; mirrors jit/recipe.py. `cubin` is empty
// unless the call carries the compiled kernel itself.
struct Recipe {
  std::string kernel;
  std::string source;
  std::string arch;
  std::string flags;
  std::string fingerprint;
  std::string cubin;

  auto Fields() const { return std::tie(kernel, source, arch, flags, fingerprint, cubin); }
  bool operator<(const Recipe& other) const { return Fields() < other.Fields(); }
};

// A compiled kernel. Thread-safe.
class CompiledKernel {
 public:
  CompiledKernel(std::string name, std::string image)
      : name_(std::move(name)), image_(std::move(image)) {}

  // Returns the kernel's function on `device`, whose context is current,
  // allowed `shared_bytes` of dynamic shared memory and clusters of
  // `cluster_size`. The first call loads the module. Throws std::runtime_error.
  cuda::Function Load(const cuda::Driver& driver, cuda::Device device, int64_t shared_bytes,
                      int64_t cluster_size);

 private:
  void LoadLibrary(const cuda::Driver& driver);

  const std::string name_;
  std::mutex mutex_;  // Guards all below.
  std::string image_;
  cuda::Kernel kernel_ = nullptr;
  std::map<cuda::Device, int64_t> shared_bytes_;  // The most allowed so far.
};

// Kernels live until the process ends, as executables that use them may.
class KernelRegistry {
 public:
  static KernelRegistry& Global();

  // Returns the kernel of `recipe`, or null if none was added yet.
  CompiledKernel* Find(const Recipe& recipe);

  // Adds the kernel compiled to `image` unless there is one; returns it.
  CompiledKernel* Add(const Recipe& recipe, std::string image);

 private:
  std::mutex mutex_;  // Never held while taking the GIL.
  std::map<Recipe, std::unique_ptr<CompiledKernel>> kernels_;
};

}  // namespace jax_deepgemm

#endif  // JAX_DEEPGEMM_FFI_KERNEL_REGISTRY_H_
