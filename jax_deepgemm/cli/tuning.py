"""Finds the fastest configuration of a problem; knows no GPU itself."""

import dataclasses
import heapq
from collections.abc import Callable, Sequence
from typing import Any

from jax_deepgemm.cli.tuning_families import Family
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.user_table import Key

# What is not faster by this share is noise: the choice stays as it was.
TIE = 0.01
NUM_FINALISTS = 3
_ROUGH_TESTS = 8
_FINAL_TESTS = 30


@dataclasses.dataclass(frozen=True)
class Task:
  """One problem of one family."""

  family: Family
  problem: Any

  @property
  def name(self) -> str:
    """Name of the problem in the table."""
    return self.family.problem_name(self.problem)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What is fastest.

  Attributes:
    key: of the configuration to take.
    us: its median time in microseconds.
    default_key: of what is taken without measurements.
    default_us: its median time in microseconds.
    num_timed: configurations that were compared.
  """

  key: Key
  us: float
  default_key: Key
  default_us: float
  num_timed: int

  @property
  def entry(self) -> dict[str, Any]:
    """What the table says of it."""
    return {
      "key": list(self.key),
      "us": round(self.us, 2),
      "default_us": round(self.default_us, 2),
    }


# Medians in microseconds of a task's configurations, so many runs of each.
Timer = Callable[[Task, Sequence[Key], int], list[float]]


def candidates(task: Task, device: Device, count: int) -> list[Key]:
  """Returns what to time: the default, then those of the least estimates.

  Args:
    task: what is to be computed.
    device: what computes it.
    count: configurations at most.
  """
  family, problem = task.family, task.problem
  default = family.key_of(family.choose(problem, device))
  cheapest = heapq.nsmallest(
    count,
    family.legal(problem, device),
    key=lambda config: family.estimate(problem, config, device),
  )
  keys = [default, *(family.key_of(config) for config in cheapest)]
  return list(dict.fromkeys(keys))[:count]


def tune(task: Task, device: Device, count: int, timer: Timer) -> Outcome:
  """Returns the fastest of `count` configurations.

  All are timed roughly, then the fastest again with the default, many times.
  The default stays unless another is faster by more than a tie.

  Args:
    task: what is to be computed.
    device: what computes it.
    count: configurations at most.
    timer: measures.
  """
  keys = candidates(task, device, count)
  rough = timer(task, keys, _ROUGH_TESTS)
  default, *others = keys
  rough_us = dict(zip(keys, rough, strict=True))
  others.sort(key=rough_us.__getitem__)
  finalists = [default, *others[:NUM_FINALISTS]]
  final = timer(task, finalists, _FINAL_TESTS)
  us = dict(zip(finalists, final, strict=True))
  best = min(finalists, key=us.__getitem__)
  if us[best] > (1 - TIE) * us[default]:
    best = default
  return Outcome(best, us[best], default, us[default], len(keys))
