#include "device_context.h"

#include <array>
#include <atomic>
#include <stdexcept>
#include <string>

namespace jax_deepgemm {
namespace {

cuda::Context PrimaryContext(const cuda::Driver& driver, int ordinal) {
  static std::array<std::atomic<cuda::Context>, kMaxDevices> contexts{};
  std::atomic<cuda::Context>& slot = contexts[ordinal];
  if (cuda::Context known = slot.load(std::memory_order_acquire)) return known;
  // Two threads may both get here: they retain the same context, and neither
  // releases it, since kernels may run until the process ends.
  cuda::Context context = nullptr;
  cuda::Check(driver, driver.cuDevicePrimaryCtxRetain(&context, GetDevice(driver, ordinal)),
              "cuDevicePrimaryCtxRetain");
  slot.store(context, std::memory_order_release);
  return context;
}

}  // namespace

int CheckOrdinal(int ordinal) {
  if (ordinal < 0 || ordinal >= kMaxDevices) {
    throw std::runtime_error("device ordinal " + std::to_string(ordinal) + " is not in [0, " +
                             std::to_string(kMaxDevices) + ")");
  }
  return ordinal;
}

cuda::Device GetDevice(const cuda::Driver& driver, int ordinal) {
  cuda::Device device = 0;
  cuda::Check(driver, driver.cuDeviceGet(&device, ordinal), "cuDeviceGet");
  return device;
}

ScopedContext::ScopedContext(const cuda::Driver& driver, int ordinal) : driver_(driver) {
  const cuda::Context context = PrimaryContext(driver, ordinal);
  cuda::Context current = nullptr;
  cuda::Check(driver, driver.cuCtxGetCurrent(&current), "cuCtxGetCurrent");
  if (current == context) return;
  cuda::Check(driver, driver.cuCtxPushCurrent_v2(context), "cuCtxPushCurrent");
  pushed_ = true;
}

ScopedContext::~ScopedContext() {
  cuda::Context popped = nullptr;
  if (pushed_) driver_.cuCtxPopCurrent_v2(&popped);
}

}  // namespace jax_deepgemm
