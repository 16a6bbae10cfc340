"""Kernel times of many programs over the same operands, in one profile."""

import time
from collections.abc import Callable, Sequence

import jax

from jax_deepgemm.testing import profile
from jax_deepgemm.testing.benchmark import split_at_flushes
from jax_deepgemm.testing.cache_flush import CacheFlush
from jax_deepgemm.testing.profile import KernelEvent

# Long enough for the clock to recover from the power limit of the run before.
PAUSE_SECONDS = 0.1


def profile_times(
  programs: Sequence[Callable[..., jax.Array]],
  operands: Sequence[jax.Array],
  num_tests: int,
  pause_seconds: float = PAUSE_SECONDS,
  kernel_name: str = "sm90_",
) -> list[list[float]]:
  """Returns `num_tests` times of each program in microseconds.

  Caches are flushed before each run. The first GPU must have been warmed up
  with the programs.

  Args:
    programs: compiled functions.
    operands: of all of them.
    num_tests: runs of each, one after the other.
    pause_seconds: to wait before each program.
    kernel_name: only kernels with this in their name count; "" counts all.

  Raises:
    RuntimeError: the profile does not hold all runs.
  """
  gpu = jax.local_devices()[0]
  flush = CacheFlush(gpu)
  flush()
  with profile.record(gpu) as recording:
    for run in programs:
      time.sleep(pause_seconds)
      for _ in range(num_tests):
        flush()
        result = run(*operands)
      jax.block_until_ready(result)
  return times_of_runs(recording.events, len(programs), num_tests, kernel_name)


def times_of_runs(
  events: Sequence[KernelEvent],
  num_programs: int,
  num_tests: int,
  kernel_name: str,
) -> list[list[float]]:
  """Returns the kernel times in a profile with a flush before each run.

  Raises:
    RuntimeError: the profile does not hold all runs.
  """
  runs = [
    [event.duration_ns for event in run if kernel_name in event.name]
    for run in split_at_flushes(events)
  ]
  times = [sum(run) / 1e3 for run in runs if run]
  if len(times) != num_programs * num_tests:
    raise RuntimeError(
      f"the profile holds {len(times)} runs, expected"
      f" {num_programs * num_tests}; try fewer --num-tests"
    )
  starts = range(0, len(times), num_tests)
  return [times[start : start + num_tests] for start in starts]
