"""A kernel's Python in front of the emulator."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from jax_deepgemm.primitives import launch
from tests.emulator.emulator import Emulator


@contextlib.contextmanager
def emulated(
  kernel: Any,
  choose: Callable[..., Any],
  emulator: Emulator,
  seed: int,
  *,
  chooser: str = "choose",
) -> Iterator[None]:
  """Returns a context in which `kernel` launches on the emulator.

  Args:
    kernel: the module whose `run` is called.
    choose: stands in for its heuristics.
    emulator: what runs the kernel.
    seed: of the schedule.
    chooser: name of the heuristics in `kernel`.
  """
  with (
    mock.patch.object(kernel, chooser, choose),
    mock.patch.object(launch, "call", emulator.launcher(seed)),
  ):
    yield
