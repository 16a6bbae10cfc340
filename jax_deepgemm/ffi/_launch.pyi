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

def set_driver_path(path: str) -> None:
  """Replaces libcuda.so.1, for tests; RuntimeError once a driver is loaded."""
