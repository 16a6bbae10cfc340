"""Times a function on the device that it runs on."""

import collections
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.testing import profile
from jax_deepgemm.testing.cache_flush import CacheFlush, flush_caches
from jax_deepgemm.testing.profile import KernelEvent
from jax_deepgemm.testing.timing import BenchResult, Samples


def bench(
  fn: Callable[..., Any],
  *args: Any,
  num_tests: int = 30,
  num_warmups: int = 2,
  flush_l2: bool = True,
  kernel_name: str = "",
) -> BenchResult:
  """Returns the times of `num_tests` calls of `fn(*args)`.

  On a GPU these are times of kernels from JAX's profiler, the launches not
  included. Elsewhere, and under DG_USE_NVIDIA_TOOLS=1, they are wall-clock
  times; nothing is flushed then.

  Args:
    fn: what to time; jit it first, it is called as it is. Returns arrays that
      are all on one device.
    *args: its arguments; put them on the device first.
    num_tests: calls that are timed, all in the queue at once.
    num_warmups: calls before, which also compile; at least 1.
    flush_l2: empty the GPU's caches before each call, with a write of 8 GB or,
      if less is free, half of it. False runs calls back to back: sustained
      load, at the clock that the GPU can keep, with operands left in the
      caches.
    kernel_name: only kernels whose name contains it count.

  Raises:
    TypeError: fn returns no array.
    ValueError: num_tests or num_warmups < 1, or results on several devices.
    RuntimeError: the profiler recorded nothing, or no kernel of that name, or
      not the same number of kernels for every call; or there is not enough
      free memory to empty the caches.
  """
  if num_tests < 1 or num_warmups < 1:
    raise ValueError(
      "num_tests and num_warmups must be at least 1, got"
      f" {num_tests} and {num_warmups}"
    )
  for _ in range(num_warmups):
    result = jax.block_until_ready(fn(*args))
  device = _device_of(result)
  del result
  if device.platform != "gpu" or ENVIRONMENT.use_nvidia_tools:
    return _wall_clock(fn, args, num_tests)
  events = _profiled(fn, args, num_tests, device, flush_l2)
  return summarize(events, num_tests, flush_l2, kernel_name)


def summarize(
  events: Sequence[KernelEvent],
  num_tests: int,
  flush_l2: bool,
  kernel_name: str = "",
) -> BenchResult:
  """Returns the times in a profile of `num_tests` calls.

  Args:
    events: in order of their start.
    num_tests: calls in the profile.
    flush_l2: a flush stands before each call.
    kernel_name: as in `bench`.

  Raises:
    RuntimeError: the events are not those of `num_tests` equal calls.
  """
  runs = split_at_flushes(events) if flush_l2 else [list(events)]
  runs = [[e for e in run if kernel_name in e.name] for run in runs]
  if not any(runs):
    seen = ", ".join(sorted({e.name for e in events if not _is_flush(e)}))
    raise RuntimeError(
      f"no kernel with {kernel_name!r} in its name ran; those that did are"
      f" {seen or 'none'}"
    )
  if not flush_l2:
    runs = _split_evenly(runs[0], num_tests)
  runs = [run for run in runs if run]
  if len(runs) != num_tests or len({len(run) for run in runs}) != 1:
    lengths = sorted({len(run) for run in runs})
    raise RuntimeError(
      f"the profile of {num_tests} calls holds kernels of {len(runs)} calls,"
      f" {' or '.join(map(str, lengths))} in each: some were not recorded, or"
      " calls differ; try fewer num_tests"
    )
  kernels = collections.defaultdict(list)
  for run in runs:
    for event in run:
      kernels[event.name].append(event.duration_ns / 1e3)
  return BenchResult(
    method="profiler",
    run=Samples(tuple(_span_ns(run) / 1e3 for run in runs)),
    kernels={name: Samples(tuple(times)) for name, times in kernels.items()},
  )


def _device_of(result: Any) -> jax.Device:
  arrays = [x for x in jax.tree.leaves(result) if isinstance(x, jax.Array)]
  if not arrays:
    raise TypeError(
      f"fn must return JAX arrays, got {type(result).__name__}: there is"
      " nothing to wait for"
    )
  devices = set().union(*(x.devices() for x in arrays))
  if len(devices) > 1:
    raise ValueError(
      f"fn must compute on one device, got results on {len(devices)}; time"
      " the shard of one device"
    )
  return devices.pop()


def _wall_clock(
  fn: Callable[..., Any], args: Sequence[Any], num_tests: int
) -> BenchResult:
  times = []
  for _ in range(num_tests):
    start = time.perf_counter()
    jax.block_until_ready(fn(*args))
    times.append((time.perf_counter() - start) * 1e6)
  return BenchResult("wall clock", Samples(tuple(times)), {})


def _profiled(
  fn: Callable[..., Any],
  args: Sequence[Any],
  num_tests: int,
  device: jax.Device,
  flush_l2: bool,
) -> list[KernelEvent]:
  flush = CacheFlush(device) if flush_l2 else lambda: None
  flush()
  with profile.record(device) as recording:
    for _ in range(num_tests):
      flush()
      result = fn(*args)
    jax.block_until_ready(result)
  return recording.events


def _is_flush(event: KernelEvent) -> bool:
  return flush_caches.__name__ in event.module


def split_at_flushes(
  events: Sequence[KernelEvent],
) -> list[list[KernelEvent]]:
  """Returns the events between flushes; a run may be empty."""
  runs = [[]]
  for event in events:
    if _is_flush(event):
      runs.append([])
    else:
      runs[-1].append(event)
  return runs


def _split_evenly(
  events: Sequence[KernelEvent], num_tests: int
) -> list[list[KernelEvent]]:
  """Returns the events in runs of equal length; a rest is one run more."""
  size = max(len(events) // num_tests, 1)
  return [
    list(events[start : start + size]) for start in range(0, len(events), size)
  ]


def _span_ns(run: Sequence[KernelEvent]) -> float:
  return max(e.end_ns for e in run) - min(e.start_ns for e in run)
