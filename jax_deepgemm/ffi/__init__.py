"""The custom call that launches every kernel, and its registration with JAX.

The extension module is built without CUDA and imports without it: the driver is
loaded when the first kernel is about to run.
"""

import functools
from collections.abc import Callable

import jax

from jax_deepgemm.ffi import _launch
from jax_deepgemm.ffi._launch import (
  arena_fault,
  counters,
  register_arena,
  reset_counters,
  set_arena_board,
  unregister_arena,
)

TARGET = "jax_deepgemm_launch"

# (kernel, source, arch, flags, fingerprint) -> cubin. Called from any thread
# while a program is compiled or loaded: it may import nothing, call no JAX and
# read nothing thread-local, or it can deadlock with the compiling thread.
Resolver = Callable[[str, str, str, str, str], bytes]


def register(resolver: Resolver) -> None:
  """Registers the custom call for CUDA and makes `resolver` its compiler.

  Needs no GPU: JAX keeps the registration until there is a CUDA backend. A
  second call replaces the compiler.

  Args:
    resolver: Returns the cubin of a recipe, given its five strings. What it
      raises becomes the error of the compilation that asked.
  """
  _launch.set_resolver(resolver)
  _register_handlers()


@functools.cache
def _register_handlers() -> None:
  # XLA takes a handler only once the type of its state is known.
  for name, type_registration in _launch.types().items():
    jax.ffi.register_ffi_type(name, type_registration, platform="CUDA")
  for name, stages in _launch.registrations().items():
    jax.ffi.register_ffi_target(name, stages, platform="CUDA")


__all__ = [
  "TARGET",
  "Resolver",
  "arena_fault",
  "counters",
  "register",
  "register_arena",
  "reset_counters",
  "set_arena_board",
  "unregister_arena",
]
