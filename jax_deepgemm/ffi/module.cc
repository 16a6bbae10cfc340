// The Python module jax_deepgemm.ffi._launch.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "arena_registry.h"
#include "counters.h"
#include "cuda_driver.h"
#include "device_context.h"
#include "kernel_call.h"
#include "launch.h"
#include "resolver.h"
#include "status_record.h"

namespace jax_deepgemm {
namespace {

namespace nb = ::nanobind;

nb::capsule Handler(XLA_FFI_Handler* handler) {
  return nb::capsule(reinterpret_cast<void*>(handler));
}

nb::dict Registrations() {
  nb::dict stages;
  stages["instantiate"] = Handler(JaxDeepgemmInstantiate);
  stages["initialize"] = Handler(JaxDeepgemmInitialize);
  stages["execute"] = Handler(JaxDeepgemmExecute);
  nb::dict targets;
  targets["jax_deepgemm_launch"] = stages;
  return targets;
}

nb::dict Types() {
  nb::dict kernel_call;
  kernel_call["type_id"] = nb::capsule(static_cast<void*>(&KernelCall::id));
  kernel_call["type_info"] = nb::capsule(static_cast<void*>(&KernelCall::info));
  nb::dict types;
  types["jax_deepgemm_kernel_call"] = kernel_call;
  return types;
}

nb::dict CounterValues() {
  const Counters& counters = Counters::Global();
  nb::dict values;
  values["executes"] = counters.executes.load();
  values["captures"] = counters.captures.load();
  values["instantiates"] = counters.instantiates.load();
  values["loads"] = counters.loads.load();
  return values;
}

void ResetCounters() {
  Counters& counters = Counters::Global();
  counters.executes = 0;
  counters.captures = 0;
  counters.instantiates = 0;
  counters.loads = 0;
}

void RegisterArena(int64_t handle, int ordinal, uintptr_t address) {
  ArenaRegistry::Global().Add(handle, CheckOrdinal(ordinal), reinterpret_cast<void*>(address));
}

void SetArenaBoard(int64_t handle, uintptr_t address, size_t num_records) {
  const auto* records = reinterpret_cast<const StatusRecord*>(address);
  ArenaRegistry::Global().SetBoard(handle, records, num_records);
}

std::string ArenaFault(int64_t handle) { return ArenaRegistry::Global().Fault(handle); }

void UnregisterArena(int64_t handle) { ArenaRegistry::Global().Remove(handle); }

}  // namespace

NB_MODULE(_launch, module) {
  module.def("registrations", &Registrations);
  module.def("types", &Types);
  module.def("set_resolver", [](nb::callable resolver) { SetResolver(resolver.release().ptr()); });
  module.def("counters", &CounterValues);
  module.def("reset_counters", &ResetCounters);
  module.def("register_arena", &RegisterArena, nb::arg("handle"), nb::arg("ordinal"),
             nb::arg("address"));
  module.def("unregister_arena", &UnregisterArena, nb::arg("handle"));
  module.def("set_arena_board", &SetArenaBoard, nb::arg("handle"), nb::arg("address"),
             nb::arg("num_records"));
  module.def("arena_fault", &ArenaFault, nb::arg("handle"));
  module.def("set_driver_path", &cuda::SetDriverPath, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace jax_deepgemm
