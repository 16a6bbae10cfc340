"""Which devices share arenas: those that differ in some mesh axes alone."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Member:
  """A device of this process in its group.

  Attributes:
    device: the JAX device.
    group: number of its group.
    rank: its position along the axes.
    record: its number among all devices of all groups.
  """

  device: Any
  group: int
  rank: int
  record: int

  @property
  def ordinal(self) -> int:
    """The device's number in this process, as XLA and CUDA count."""
    return self.device.local_hardware_id


@dataclasses.dataclass(frozen=True)
class RankGroups:
  """All groups of a mesh.

  Attributes:
    groups: devices of each group in the order of ranks.
  """

  groups: tuple[tuple[Any, ...], ...]

  @classmethod
  def along(cls, devices: np.ndarray, axes: tuple[int, ...]) -> "RankGroups":
    """Returns the groups along axes of a mesh's array of devices.

    A rank is the position along the axes, the last of which varies fastest.
    """
    last = np.moveaxis(devices, axes, range(-len(axes), 0))
    num_ranks = math.prod(devices.shape[axis] for axis in axes)
    return cls(tuple(map(tuple, last.reshape(-1, num_ranks))))

  @property
  def num_ranks(self) -> int:
    """Devices of a group."""
    return len(self.groups[0])

  @property
  def devices(self) -> tuple[Any, ...]:
    """All devices, group by group."""
    return tuple(device for group in self.groups for device in group)

  @property
  def processes(self) -> tuple[int, ...]:
    """Processes that own devices, in order."""
    return tuple(sorted({device.process_index for device in self.devices}))

  @property
  def span_processes(self) -> bool:
    """Whether a group has devices of several processes."""
    return any(len({d.process_index for d in g}) > 1 for g in self.groups)

  def local(self) -> tuple[Member, ...]:
    """Returns this process's devices."""
    own = jax.process_index()
    return tuple(
      Member(device, group, rank, group * self.num_ranks + rank)
      for group, devices in enumerate(self.groups)
      for rank, device in enumerate(devices)
      if device.process_index == own
    )

  def peers(self, member: Member) -> tuple[Any, ...]:
    """Returns the devices of a member's group, itself included."""
    return self.groups[member.group]
