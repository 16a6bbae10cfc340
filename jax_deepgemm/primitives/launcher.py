"""Makes the launcher known to XLA, or remembers why that is impossible."""

import importlib.util
import pathlib

from jax_deepgemm.primitives import kernel_library

_failures: list[ImportError] = []


def register() -> None:
  """Registers the custom call, if the extension module was built.

  A source tree without it still traces, lowers and runs on the CPU; only a
  program for a GPU of this process is refused, by `require`.
  """
  try:
    from jax_deepgemm import ffi
  except ImportError as error:
    _failures.append(error)
  else:
    ffi.register(kernel_library.resolve)
    if _has_cuda_plugin():
      # Loads the compiler. A deserialised program meets no lowering that would,
      # and XLA's threads, which may hold locks, must not import.
      kernel_library.library()


def _has_cuda_plugin() -> bool:
  """Whether JAX can run on a GPU here; looks for files, imports nothing."""
  spec = importlib.util.find_spec("jax_plugins")
  paths = (spec and spec.submodule_search_locations) or ()
  return any(
    (pathlib.Path(path) / name).is_dir()
    for path in paths
    for name in ("xla_cuda12", "xla_cuda13")
  )


def require() -> None:
  """Returns nothing if kernels can be launched in this process.

  Raises:
    RuntimeError: the extension module cannot be imported.
  """
  if _failures:
    raise RuntimeError(
      "jax_deepgemm's extension module cannot be imported, so no kernel can"
      f" be launched ({_failures[0]}); install the package with pip, or use"
      " options(implementation='reference')"
    ) from _failures[0]
