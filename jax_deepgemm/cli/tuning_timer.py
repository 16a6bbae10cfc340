"""Times configurations of a problem on this process's GPU."""

import statistics
from collections.abc import Sequence
from typing import Any

import jax

from jax_deepgemm.cli.tuning import Task
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.user_table import EMPTY, Key, UserTable
from jax_deepgemm.primitives import tuning_file
from jax_deepgemm.testing.kernel_times import profile_times


def lower_each(
  task: Task,
  device: Device,
  keys: Sequence[Key],
  operands: Sequence[Any],
  **lower_options: Any,
) -> list[Any]:
  """Returns one lowered program a key, the one that its entry would lead to.

  Raises:
    RuntimeError: a key was not taken, so that two programs are the same.
  """
  programs, texts = [], set()
  for key in keys:
    table = UserTable(device.name, device.num_sms).with_entry(
      task.family.name, task.name, {"key": list(key)}
    )
    with tuning_file.replaced(table):
      # A new function each time: JAX does not lower the same one twice.
      traced = jax.jit(task.family.call(task.problem)).trace(*operands)
      programs.append(traced.lower(**lower_options))
    text = programs[-1].as_text()
    if text in texts:
      raise RuntimeError(f"{key} was not taken for {task.name}")
    texts.add(text)
  return programs


class GpuTimer:
  """A `Timer` that asks the GPU."""

  def __init__(self, device: Device) -> None:
    """Args: device: this process's."""
    self._device = device

  def __call__(
    self, task: Task, keys: Sequence[Key], num_tests: int
  ) -> list[float]:
    """Returns the median microseconds of each configuration."""
    with tuning_file.replaced(EMPTY):
      operands = task.family.operands(task.problem)
    # Lowering starts the kernels' compilation in other threads.
    lowered = lower_each(task, self._device, keys, operands)
    programs = [program.compile() for program in lowered]
    for run in programs:
      jax.block_until_ready(run(*operands))
    times = profile_times(
      programs, operands, num_tests, kernel_name=task.family.kernel_name
    )
    return [statistics.median(runs) for runs in times]
