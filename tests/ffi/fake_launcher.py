"""The launcher without a GPU: on XLA's CPU backend, over a fake driver.

That backend decodes attributes and calls handlers as the GPU's does, except
that it has no streams and never calls `initialize`.
"""

import ctypes
import dataclasses
import json
from typing import Any

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir

from jax_deepgemm import ffi
from jax_deepgemm.ffi import _launch
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.primitives import attributes
from jax_deepgemm.primitives.kernel_call import KernelCall


class FakeDriver:
  """The recorded calls of fake_cuda.cc, compiled to `path`."""

  def __init__(self, path: str):
    self._library = ctypes.CDLL(path)
    self._library.fake_events.restype = ctypes.c_char_p

  def reset(self) -> None:
    """Forgets all calls, failures and captures."""
    self._library.fake_reset()

  def fail(self, function: str, result: int = 1) -> None:
    """Lets `function` return `result` until the next reset."""
    self._library.fake_fail(function.encode(), result)

  def capture(self, status: int) -> None:
    """Lets every stream report this capture status until the next reset."""
    self._library.fake_capture(status)

  def calls(self, function: str) -> list[dict[str, Any]]:
    events = json.loads(self._library.fake_events())
    return [event for event in events if event["call"] == function]

  def launches(self) -> list[dict[str, Any]]:
    return self.calls("cuLaunchKernelEx")


class FakeCompiler:
  """A resolver whose "cubin" is the recipe's source, and what it was asked."""

  def __init__(self):
    self.requests: list[Recipe] = []

  def __call__(self, *fields: str) -> bytes:
    recipe = Recipe(*fields)
    self.requests.append(recipe)
    return recipe.source.encode()


def install(driver_path: str) -> None:
  """Puts the launcher on the CPU platform, above the driver at this path."""
  _launch.set_driver_path(driver_path)
  jax.devices()  # Deferred registrations would take handlers before types.
  for name, registration in _launch.types().items():
    jax.ffi.register_ffi_type(name, registration, platform="cpu")
  for name, stages in _launch.registrations().items():
    jax.ffi.register_ffi_target(name, stages, platform="cpu")


@dataclasses.dataclass(frozen=True, eq=False)
class _Attributes:
  """A dictionary of attributes that is hashable, as jit wants; by identity."""

  values: dict[str, Any]


_fake_launch_p = Primitive("fake_launch")
_fake_launch_p.multiple_results = True


@_fake_launch_p.def_abstract_eval
def _abstract_eval(*operands, attributes, results):
  return [jax.core.ShapedArray(shape, dtype) for shape, dtype in results]


def _lower(ctx, *operands, attributes, results):
  return jax.ffi.ffi_lowering(ffi.TARGET)(ctx, *operands, **attributes.values)


mlir.register_lowering(_fake_launch_p, _lower, platform="cpu")


def launch(
  calls: KernelCall | list[KernelCall] | dict[str, Any],
  *operands: jax.Array,
  results: tuple[tuple[tuple[int, ...], Any], ...] = (((4,), np.float32),),
  arenas: tuple[int, ...] = (),
) -> list[jax.Array]:
  """Returns the results of one custom call, given by launches or attributes."""
  if isinstance(calls, KernelCall):
    calls = [calls]
  if isinstance(calls, list):
    calls = attributes.of_call(calls, [None] * len(calls), arenas)
  return _fake_launch_p.bind(
    *operands, attributes=_Attributes(calls), results=results
  )


def run(calls: Any, *operands: jax.Array, **keywords: Any) -> list[jax.Array]:
  """Compiles and runs `launch`; raises what the launcher reports."""
  program = jax.jit(lambda *operands: launch(calls, *operands, **keywords))
  return jax.block_until_ready(program(*operands))
