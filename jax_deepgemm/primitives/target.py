"""The GPU that a lowering is for."""

import functools
import warnings

import jax

from jax_deepgemm.heuristics.device import (
  Device,
  device_found,
  device_named,
)
from jax_deepgemm.options import Options

_DEFAULT_DEVICE = "NVIDIA H200"


def process_device() -> Device | None:
  """Returns the first CUDA device of this process, or None."""
  try:
    device = jax.local_devices(backend="cuda")[0]
  except (RuntimeError, IndexError):
    return None
  major, minor = map(int, device.compute_capability.split("."))
  return device_found(device.device_kind, (major, minor), device.core_count)


def target_device(options: Options) -> Device:
  """Returns the device named in `options`, else this process's, else an H200.

  Raises:
    ValueError: `options.device` is not a known name.
  """
  if options.device is not None:
    return device_named(options.device)
  return process_device() or device_named(_DEFAULT_DEVICE)


def use_kernel(options: Options, device: Device) -> bool:
  """Returns whether a lowering for CUDA takes the kernel on `device`.

  Raises:
    NotImplementedError: `options.implementation` is "kernel" and the device
      is not a Hopper GPU.
  """
  if options.implementation == "reference":
    return False
  if device.is_hopper:
    return True
  if options.implementation == "kernel":
    raise NotImplementedError(
      f"no kernel for {_describe(device)}, only for Hopper (compute"
      " capability 9.0); use options(implementation='auto') or"
      " options(implementation='reference') to compute it with jax.numpy"
    )
  _warn_once(device)
  return False


@functools.cache
def _warn_once(device: Device) -> None:
  warnings.warn(
    f"jax_deepgemm has no kernels for {_describe(device)}; its operations run"
    " as jax.numpy references there. options(implementation='reference')"
    " says that this is intended",
    stacklevel=2,
  )


def _describe(device: Device) -> str:
  major, minor = device.compute_capability
  return f"{device.name} (compute capability {major}.{minor})"
