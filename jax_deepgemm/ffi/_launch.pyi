from collections.abc import Callable
from typing import Any

def set_resolver(
  resolver: Callable[[str, str, str, str, str], bytes],
) -> None:
  """Makes `resolver` the function that compiles a recipe."""

def registrations() -> dict[str, dict[str, Any]]:
  """Returns the handlers of each custom call target, by stage."""

def types() -> dict[str, dict[str, Any]]:
  """Returns the state types that the handlers use."""

def counters() -> dict[str, int]:
  """Returns what was done since the last reset.

  executes: calls of the launch handler; a replayed CUDA graph makes none.
  captures: those of them that recorded a CUDA graph.
  instantiates: call sites compiled, or loaded with a compiled program.
  loads: modules given to the CUDA driver.
  """

def reset_counters() -> None:
  """Sets all counters to zero."""

def register_arena(handle: int, ordinal: int, address: int) -> None:
  """Makes `address` the arena of `handle` on a device of this process.

  Args:
    handle: the number by which calls name the arena.
    ordinal: the device, as XLA and CUDA count it in this process.
    address: of device memory, which must outlive the calls that use it.
  """

def unregister_arena(handle: int) -> None:
  """Forgets a handle on all devices, and its status records."""

def set_arena_board(handle: int, address: int, num_records: int) -> None:
  """Makes calls of `handle` fail once one of these status records is set.

  Args:
    handle: the number by which calls name the arena.
    address: of host memory with records of 64 bytes each, which devices write;
      it must stay until `unregister_arena`.
    num_records: how many there are.
  """

def arena_fault(handle: int) -> str:
  """Returns what a status record of a handle reports, or "" if all is well."""

def set_driver_path(path: str) -> None:
  """Replaces libcuda.so.1, for tests; RuntimeError once a driver is loaded."""
