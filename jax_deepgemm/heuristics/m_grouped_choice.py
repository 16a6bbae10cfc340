"""What the choices of tiles for groups of rows share.

How many rows a group has is known on the device alone. The choice goes by how
many are expected; every configuration is right for any number.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from jax_deepgemm.heuristics.device import Device

_Config = TypeVar("_Config", bound=Any)


def as_if_full(problem: Any) -> Any:
  """Returns the dense problem with tiles as full as a group's may be."""
  return dataclasses.replace(problem.expected, m=max(problem.m, 1024))


def table_size(problem: Any) -> int:
  """Returns for how many groups the kernel's table has room."""
  max_groups = 8
  while max_groups < problem.num_groups:
    max_groups *= 2
  return max_groups


def with_groups(
  configs: Iterable[_Config],
  problem: Any,
  device: Device,
  max_num_stages: Callable[[_Config, Device], int],
) -> Iterator[_Config]:
  """Returns those of `configs` that are of use, with room for the groups.

  Args:
    configs: legal for the dense problem `as_if_full`.
    problem: with groups of rows.
    device: what computes it.
    max_num_stages: how many stages of a configuration fit on the device.
  """
  max_groups = table_size(problem)
  scatters = {"scatters_rows": True} if problem.scatters_rows else {}
  for dense in configs:
    if dense.cluster_m > 1 and problem.expected_m <= dense.block_m:
      continue
    config = dataclasses.replace(dense, max_groups=max_groups, **scatters)
    num_stages = min(config.num_stages, max_num_stages(config, device))
    if num_stages >= 3:
      yield dataclasses.replace(config, num_stages=num_stages)
