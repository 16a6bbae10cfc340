"""Device times of many compiled programs, copies that XLA makes included."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax

from jax_deepgemm.testing import profile
from jax_deepgemm.testing.cache_flush import CacheFlush
from jax_deepgemm.testing.kernel_times import PAUSE_SECONDS, times_of_runs

_OURS = "sm90_"  # In the names of the package's kernels.


class Times(NamedTuple):
  """Medians in microseconds.

  Attributes:
    total: of all kernels of a run, copies of operands and results included.
    kernel: of the package's kernels.
  """

  total: float
  kernel: float


def profiled(
  calls: Sequence[Callable[[], jax.Array]], num_tests: int
) -> list[Times]:
  """Returns the times of each call, all in one profile.

  Args:
    calls: of compiled functions.
    num_tests: runs of each, one after the other, caches flushed before each.
  """
  gpu = jax.local_devices()[0]
  for call in calls:
    jax.block_until_ready(call())
  flush = CacheFlush(gpu)
  flush()
  with profile.record(gpu) as recording:
    for call in calls:
      time.sleep(PAUSE_SECONDS)
      for _ in range(num_tests):
        flush()
        result = call()
      jax.block_until_ready(result)
  return times_of(recording.events, len(calls), num_tests)


def times_of(
  events: Sequence[profile.KernelEvent], num_calls: int, num_tests: int
) -> list[Times]:
  """Returns the times in a profile with a flush before each run."""
  total, ours = (
    times_of_runs(events, num_calls, num_tests, name) for name in ("", _OURS)
  )
  return [
    Times(statistics.median(a), statistics.median(b))
    for a, b in zip(total, ours, strict=True)
  ]
