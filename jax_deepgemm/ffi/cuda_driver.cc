#include "cuda_driver.h"

#include <dlfcn.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace jax_deepgemm::cuda {
namespace {

std::mutex driver_mutex;  // Guards driver_path and the loading.
std::atomic<const Driver*> loaded_driver{nullptr};

std::string& DriverPath() {
  static auto* path = new std::string;
  return *path;
}

template <typename F>
void FindSymbol(void* library, const std::string& path, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr) {
    throw std::runtime_error(path + " has no " + name +
                             "; a driver for CUDA 12.0 or newer is needed");
  }
}

std::unique_ptr<Driver> Load(const std::string& substitute) {
  const std::string path = substitute.empty() ? "libcuda.so.1" : substitute;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw std::runtime_error("cannot load the CUDA driver: " + std::string(dlerror()));
  }
  auto driver = std::make_unique<Driver>();
  driver->is_substitute = !substitute.empty();
#define FIND(name) FindSymbol(library, path, #name, driver->name)
  FIND(cuInit);
  FIND(cuGetErrorName);
  FIND(cuGetErrorString);
  FIND(cuDeviceGet);
  FIND(cuDevicePrimaryCtxRetain);
  FIND(cuCtxGetCurrent);
  FIND(cuCtxPushCurrent_v2);
  FIND(cuCtxPopCurrent_v2);
  FIND(cuLibraryLoadData);
  FIND(cuLibraryGetKernel);
  FIND(cuKernelGetFunction);
  FIND(cuKernelSetAttribute);
  FIND(cuLaunchKernelEx);
  FIND(cuStreamIsCapturing);
  FIND(cuTensorMapEncodeTiled);
#undef FIND
  Check(*driver, driver->cuInit(0), "cuInit");
  return driver;
}

}  // namespace

const Driver& LoadedDriver() {
  if (const Driver* driver = loaded_driver.load(std::memory_order_acquire)) {
    return *driver;
  }
  std::lock_guard<std::mutex> lock(driver_mutex);
  if (loaded_driver.load(std::memory_order_relaxed) == nullptr) {
    // Never freed: kernels may run until the process ends.
    loaded_driver.store(Load(DriverPath()).release(), std::memory_order_release);
  }
  return *loaded_driver.load(std::memory_order_relaxed);
}

void SetDriverPath(std::string path) {
  std::lock_guard<std::mutex> lock(driver_mutex);
  if (loaded_driver.load(std::memory_order_relaxed) != nullptr) {
    throw std::runtime_error("a CUDA driver is already loaded");
  }
  DriverPath() = std::move(path);
}

std::string ErrorText(const Driver& driver, Result result, const char* function) {
  const char* name = nullptr;
  const char* text = nullptr;
  driver.cuGetErrorName(result, &name);
  driver.cuGetErrorString(result, &text);
  return std::string(function) +
         " failed: " + (name != nullptr ? name : "CUresult " + std::to_string(result)) + " (" +
         (text != nullptr ? text : "unknown to this driver") + ")";
}

void Check(const Driver& driver, Result result, const char* function) {
  if (result != 0) {
    throw std::runtime_error(ErrorText(driver, result, function));
  }
}

}  // namespace jax_deepgemm::cuda
