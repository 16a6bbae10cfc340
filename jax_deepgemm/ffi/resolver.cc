#include "resolver.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <atomic>
#include <stdexcept>

namespace jax_deepgemm {
namespace {

namespace nb = ::nanobind;

std::atomic<PyObject*> current_resolver{nullptr};

}  // namespace

void SetResolver(PyObject* resolver) {
  current_resolver.store(resolver, std::memory_order_release);
}

std::string Resolve(const Recipe& recipe) {
  PyObject* resolver = current_resolver.load(std::memory_order_acquire);
  if (resolver == nullptr || !Py_IsInitialized()) {
    throw std::runtime_error(
        "no compiler in this process: import jax_deepgemm, or lower with the "
        "compiled kernel embedded");
  }
  nb::gil_scoped_acquire gil;
  try {
    nb::object image = nb::handle(resolver)(recipe.kernel, recipe.source, recipe.arch, recipe.flags,
                                            recipe.fingerprint);
    if (!nb::isinstance<nb::bytes>(image)) {
      throw std::runtime_error("the resolver must return bytes, got " +
                               std::string(nb::type_name(image.type()).c_str()));
    }
    const auto bytes = nb::borrow<nb::bytes>(image);
    return std::string(bytes.c_str(), bytes.size());
  } catch (const nb::python_error& error) {
    // The exception object may not outlive the GIL; its text does.
    throw std::runtime_error("the resolver failed: " + std::string(error.what()));
  }
}

}  // namespace jax_deepgemm
