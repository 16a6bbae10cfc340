#include "launch.h"

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arena_registry.h"
#include "counters.h"
#include "cuda_driver.h"
#include "device_context.h"
#include "kernel_call.h"
#include "kernel_launch.h"
#include "kernel_registry.h"
#include "resolver.h"

namespace jax_deepgemm {
namespace {

namespace ffi = ::xla::ffi;

// Calls `step` with each launch; what it throws is rethrown with the kernel's
// name.
template <typename Step>
void ForEachLaunch(KernelCall& call, Step step) {
  for (Launch& launch : call.launches) {
    try {
      step(launch);
    } catch (const std::exception& error) {
      throw std::runtime_error("kernel '" + launch.recipe.kernel + "': " + error.what());
    }
  }
}

CompiledKernel* FindOrCompile(const Recipe& recipe) {
  KernelRegistry& registry = KernelRegistry::Global();
  if (CompiledKernel* kernel = registry.Find(recipe)) return kernel;
  return registry.Add(recipe, recipe.cubin.empty() ? Resolve(recipe) : recipe.cubin);
}

void EnsureReady(KernelCall& call, int ordinal) {
  if (call.ready[CheckOrdinal(ordinal)].load(std::memory_order_acquire)) return;
  std::lock_guard<std::mutex> lock(call.mutex);
  if (call.ready[ordinal].load(std::memory_order_relaxed)) return;
  ForEachLaunch(call, [ordinal](Launch& launch) {
    const cuda::Driver& driver = cuda::LoadedDriver();
    ScopedContext context(driver, ordinal);
    launch.functions[ordinal] = launch.kernel->Load(driver, GetDevice(driver, ordinal),
                                                    launch.shared_bytes, launch.ClusterSize());
  });
  call.ready[ordinal].store(true, std::memory_order_release);
}

cuda::Stream GetStream(const cuda::Driver& driver, const ffi::Context& context) {
  const auto stream = context.get<ffi::PlatformStream<cuda::Stream>>();
  if (stream.has_value()) return *stream;
  if (driver.is_substitute) return nullptr;
  throw std::runtime_error(stream.error().message());
}

// Throws what the arenas' kernels have reported. Before a run rather than in one:
// what is refused here leaves the devices and other programs as they are.
void CheckArenas(const KernelCall& call, const ffi::Context& context) {
  if (call.arenas.empty()) return;
  std::optional<int64_t> run_id;
  // -1 stands for a run without a number.
  const auto id = context.get<ffi::RunId>();
  if (id.has_value() && id->run_id != -1) run_id = id->run_id;
  for (int64_t handle : call.arenas) ArenaRegistry::Global().CheckBoard(handle, run_id);
}

// The addresses of all operands, then all results. `has_output` tells whether
// any result has an element.
std::vector<void*> GetBuffers(ffi::RemainingArgs operands, ffi::RemainingRets results,
                              bool& has_output) {
  std::vector<void*> buffers;
  buffers.reserve(operands.size() + results.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    buffers.push_back(operands.get<ffi::AnyBuffer>(i)->untyped_data());
  }
  has_output = false;
  for (size_t i = 0; i < results.size(); ++i) {
    ffi::Result<ffi::AnyBuffer> result = *results.get<ffi::AnyBuffer>(i);
    buffers.push_back(result->untyped_data());
    has_output = has_output || result->element_count() > 0;
  }
  return buffers;
}

void CountExecute(const cuda::Driver& driver, cuda::Stream stream) {
  Counters& counters = Counters::Global();
  counters.executes.fetch_add(1, std::memory_order_relaxed);
  int status = 0;
  cuda::Check(driver, driver.cuStreamIsCapturing(stream, &status), "cuStreamIsCapturing");
  if (status != 0) counters.captures.fetch_add(1, std::memory_order_relaxed);
}

// Returns the error that `body` throws, so that nothing passes into XLA.
template <typename Body>
ffi::Error Guard(Body body) {
  try {
    body();
    return ffi::Error::Success();
  } catch (const AbortedError& error) {
    return ffi::Error(ffi::ErrorCode::kAborted, error.what());
  } catch (const std::invalid_argument& error) {
    return ffi::Error::InvalidArgument(error.what());
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

ffi::ErrorOr<std::unique_ptr<KernelCall>> Instantiate(ffi::Dictionary attributes) {
  Counters::Global().instantiates.fetch_add(1, std::memory_order_relaxed);
  auto call = std::make_unique<KernelCall>();
  ffi::Error error = Guard([&] {
    call->launches = DecodeLaunches(attributes);
    call->arenas = DecodeArenas(attributes);
    ForEachLaunch(*call, [](Launch& launch) { launch.kernel = FindOrCompile(launch.recipe); });
  });
  if (error.failure()) return ffi::Unexpected(std::move(error));
  return call;
}

ffi::Error Initialize(KernelCall* call, int32_t ordinal, ffi::Context context) {
  return Guard([&] {
    EnsureReady(*call, ordinal);
    for (int64_t handle : call->arenas) ArenaRegistry::Global().Find(handle, ordinal);
    CheckArenas(*call, context);
  });
}

ffi::Error Execute(KernelCall* call, int32_t ordinal, ffi::Context context,
                   ffi::RemainingArgs operands, ffi::RemainingRets results) {
  return Guard([&] {
    EnsureReady(*call, ordinal);  // XLA's CPU backend does not initialize.
    const cuda::Driver& driver = cuda::LoadedDriver();
    if (driver.is_substitute) CheckArenas(*call, context);
    const cuda::Stream stream = GetStream(driver, context);
    CountExecute(driver, stream);
    bool has_output = false;
    std::vector<void*> buffers = GetBuffers(operands, results, has_output);
    for (int64_t handle : call->arenas) {
      buffers.push_back(ArenaRegistry::Global().Find(handle, ordinal));
    }
    if (!has_output) return;
    ScopedContext device_context(driver, ordinal);
    ForEachLaunch(*call, [&](const Launch& launch) {
      if (!launch.IsEmpty()) {
        LaunchKernel(driver, launch, ordinal, buffers, stream);
      }
    });
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(JaxDeepgemmInstantiate, Instantiate,
                              ffi::Ffi::BindInstantiate().Attrs());

XLA_FFI_DEFINE_HANDLER_SYMBOL(JaxDeepgemmInitialize, Initialize,
                              ffi::Ffi::BindInitialize()
                                  .Ctx<ffi::State<KernelCall>>()
                                  .Ctx<ffi::DeviceOrdinal>()
                                  .Ctx<ffi::Context>());

XLA_FFI_DEFINE_HANDLER_SYMBOL(JaxDeepgemmExecute, Execute,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::State<KernelCall>>()
                                  .Ctx<ffi::DeviceOrdinal>()
                                  .Ctx<ffi::Context>()
                                  .RemainingArgs()
                                  .RemainingRets(),
                              {ffi::Traits::kCmdBufferCompatible});

}  // namespace jax_deepgemm
