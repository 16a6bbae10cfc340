"""Choosing among the legal configurations of a problem."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.user_table import Key


class _Tile(Protocol):
  """What the choice reads of a configuration."""

  @property
  def block_m(self) -> int:
    """Rows of a tile."""

  @property
  def block_n(self) -> int:
    """Columns of a tile."""


_Config = TypeVar("_Config", bound=_Tile)


def of_block_sizes(
  configs: Iterable[_Config],
  multiple_of: tuple[int, int],
  problem: Any,
  device: Any,
) -> list[_Config]:
  """Returns the configurations whose tiles are multiples of what was asked.

  Args:
    configs: those that are legal.
    multiple_of: what block_m and block_n must be multiples of.
    problem: for the message.
    device: for the message.

  Raises:
    ValueError: there is none.
  """
  found = [
    config
    for config in configs
    if config.block_m % multiple_of[0] == 0
    and config.block_n % multiple_of[1] == 0
  ]
  if not found:
    raise ValueError(
      f"no configuration fits {problem} on {device} with block sizes that"
      f" are multiples of {multiple_of}"
    )
  return found


def candidates(
  legal: Callable[[Any, Device], Iterable[_Config]],
  problem: Any,
  device: Device,
  num_sms: int | None,
  block_size_multiple_of: tuple[int, int],
) -> tuple[list[_Config], Device]:
  """Returns what to choose from, and the device as far as it may be used.

  Args:
    legal: returns the legal configurations of a problem on a device.
    problem: what to compute.
    device: what computes it.
    num_sms: multiprocessors to use; all of the device's if None.
    block_size_multiple_of: what block_m and block_n must be multiples of.

  Raises:
    ValueError: no configuration is legal.
  """
  if num_sms is not None:
    device = dataclasses.replace(device, num_sms=num_sms)
  configs = of_block_sizes(
    legal(problem, device), block_size_multiple_of, problem, device
  )
  return configs, device


def tuned_or_cheapest(
  configs: Sequence[_Config],
  keys: Iterable[Key | None],
  key_of: Callable[[_Config], Key],
  cost: Callable[[_Config], Any],
) -> _Config:
  """Returns the configuration of the first key that fits, else the cheapest.

  Args:
    configs: those that are legal, at least one.
    keys: of what was measured to be fastest, the user's before the package's;
      None where nothing was measured.
    key_of: what tells configurations from each other.
    cost: of a configuration; it is asked for only if no key fits.
  """
  for key in keys:
    for config in configs:
      if key is not None and key_of(config) == key:
        return config
  return min(configs, key=cost)
