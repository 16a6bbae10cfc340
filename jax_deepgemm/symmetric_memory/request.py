"""What a backend is asked for, and what it answers."""

import contextlib
import dataclasses

from jax_deepgemm.symmetric_memory.driver import Driver
from jax_deepgemm.symmetric_memory.exchange import Exchange
from jax_deepgemm.symmetric_memory.rank_groups import Member, RankGroups

# Of each device of this process: the arenas of its group, by rank, as that
# device addresses them.
Addresses = dict[Member, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Request:
  """An arena for each device.

  Attributes:
    groups: all devices.
    num_bytes: size of an arena.
    driver: of this process.
    exchange: with the other processes.
    stack: releases, last first, what was taken.
  """

  groups: RankGroups
  num_bytes: int
  driver: Driver
  exchange: Exchange
  stack: contextlib.ExitStack

  @property
  def members(self) -> tuple[Member, ...]:
    """Devices of this process."""
    return self.groups.local()
