"""What of the surroundings decides how kernels are made and run."""

import dataclasses
import importlib.metadata
import platform

import jax
import jaxlib

from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.jit.cache import DiskCache
from jax_deepgemm.jit.compiler import compiler_signature
from jax_deepgemm.jit.errors import CompilerNotFoundError


@dataclasses.dataclass(frozen=True)
class EnvironmentReport:
  """Versions, devices, compiler and cache of this process.

  Attributes:
    package: version of jax_deepgemm, "not installed" for a bare source tree.
    python: version of Python.
    jax: version of JAX.
    jaxlib: version of jaxlib.
    devices: kinds of the devices of JAX's default backend, in order.
    compiler: name and version, or None if there is none.
    compiler_problem: why there is no compiler, else None.
    cache_directory: where compiled kernels are kept.
    cache_problem: why it cannot be written, or None if it can.
  """

  package: str
  python: str
  jax: str
  jaxlib: str
  devices: tuple[str, ...]
  compiler: str | None
  compiler_problem: str | None
  cache_directory: str
  cache_problem: str | None


def report() -> EnvironmentReport:
  """Returns what this process has; creates the cache's directory."""
  compiler, compiler_problem = _compiler()
  return EnvironmentReport(
    package=_package_version(),
    python=platform.python_version(),
    jax=jax.__version__,
    jaxlib=jaxlib.__version__,
    devices=tuple(_describe(device) for device in jax.devices()),
    compiler=compiler,
    compiler_problem=compiler_problem,
    cache_directory=ENVIRONMENT.jit.cache_dir,
    cache_problem=cache_problem(ENVIRONMENT.jit.cache_dir),
  )


def cache_problem(directory: str) -> str | None:
  """Returns why kernels cannot be kept in `directory`, or None."""
  try:
    DiskCache(directory, is_explicit=True).open()
  except (OSError, ValueError) as error:
    return str(error)
  return None


def _compiler() -> tuple[str | None, str | None]:
  """Returns (name and version, None) or (None, why there is none)."""
  try:
    return compiler_signature(ENVIRONMENT.jit), None
  except CompilerNotFoundError as error:
    return None, str(error)


def _package_version() -> str:
  try:
    return importlib.metadata.version("jax_deepgemm")
  except importlib.metadata.PackageNotFoundError:
    return "not installed"


def _describe(device: jax.Device) -> str:
  if device.platform != "gpu":
    return device.device_kind
  return f"{device.device_kind} (compute capability {_capability(device)})"


def _capability(device: jax.Device) -> str:
  return str(getattr(device, "compute_capability", "unknown"))
