"""The mesh of devices, and where arrays live on it.

Sequences are split over both axes. An expert lives on the devices of one
position along `expert`; everything else is on all devices.
"""

import dataclasses
import re
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from moe.errors import UsageError

DATA, EXPERT = "data", "expert"
BATCH_AXES = (DATA, EXPERT)

REPLICATED = PartitionSpec()
BATCH = PartitionSpec(BATCH_AXES)
# Parameters of experts are [layers, experts, ...].
BY_EXPERT = PartitionSpec(None, EXPERT)


@dataclasses.dataclass(frozen=True)
class MeshShape:
  """Devices along each axis."""

  data: int
  expert: int = 1

  @property
  def size(self) -> int:
    """Devices in all."""
    return self.data * self.expert

  def __str__(self) -> str:
    return f"{DATA}={self.data},{EXPERT}={self.expert}"


def parse(text: str) -> MeshShape:
  """Returns the shape that "data=2,expert=4" names, in any order."""
  found = re.findall(r"(\w+)=([1-9][0-9]*)", text)
  names = [name for name, _ in found]
  whole = ",".join(f"{name}={count}" for name, count in found) == text
  if (
    not names or not whole or sorted({*names} & {*BATCH_AXES}) != sorted(names)
  ):
    raise UsageError(
      f"the mesh must be like data=2,expert=4, but {text!r} came"
    )
  counts = {name: int(count) for name, count in found}
  return MeshShape(counts.get(DATA, 1), counts.get(EXPERT, 1))


def make(shape: MeshShape | None) -> Mesh:
  """Returns the mesh; None puts all devices along `data`.

  Raises:
    UsageError: there are fewer devices, or several processes with more.
  """
  devices = jax.devices()
  shape = shape or MeshShape(len(devices))
  if shape.size > len(devices):
    raise UsageError(
      f"the mesh {shape} needs {shape.size} devices, but there are"
      f" {len(devices)}"
    )
  if jax.process_count() > 1 and shape.size < len(devices):
    raise UsageError(
      f"with several processes the mesh must have all {len(devices)} devices,"
      f" but {shape} has {shape.size}"
    )
  return jax.make_mesh(
    (shape.data, shape.expert),
    BATCH_AXES,
    axis_types=(AxisType.Auto, AxisType.Auto),
    devices=devices[: shape.size],
  )


def shardings(mesh: Mesh, specs: Any) -> Any:
  """Returns the shardings of a tree of partition specs."""
  return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
