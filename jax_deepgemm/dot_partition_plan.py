"""Which mesh axes each dimension of a dot product is sharded over: pure.

As primitives/partition_plan.py, for any number of dimensions of each kind.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jax.sharding import PartitionSpec

from jax_deepgemm.dot_dimensions import Dims, DotDimensions
from jax_deepgemm.primitives.partition_plan import Axes, axes_of_entry

_BLOCK = 128


@dataclasses.dataclass(frozen=True)
class DotPlan:
  """How a dot product is cut over the devices.

  Attributes:
    lhs: the sharding of lhs.
    rhs: the sharding of rhs, and of what is added to its gradient.
    result: the sharding of the result.
    k: mesh axes over which the products of shards are to be summed.
  """

  lhs: PartitionSpec
  rhs: PartitionSpec
  result: PartitionSpec
  k: Axes


def make_dot_plan(
  dims: DotDimensions,
  mesh_shape: Mapping[str, int],
  lhs: tuple[Sequence[int], Sequence[Any]],
  rhs: tuple[Sequence[int], Sequence[Any]],
) -> DotPlan:
  """Returns the shardings that keep what is sharded as it is.

  Batch dimensions go first, then contracted ones that both operands shard
  alike, free ones, and contracted ones that only one operand shards: the other
  is then sliced, which costs nothing. A dimension is gathered if its shards
  are not equal, if they cut a block of 128 of the flattened contraction or of
  the flattened columns of rhs, or if its mesh axes are taken.

  Args:
    dims: of the product.
    mesh_shape: mesh axis -> its size.
    lhs: its shape and the entries of its sharding.
    rhs: likewise.
  """
  axes_lhs = [axes_of_entry(e) for e in _padded(lhs)]
  axes_rhs = [axes_of_entry(e) for e in _padded(rhs)]
  chosen_lhs: dict[int, Axes] = {}
  chosen_rhs: dict[int, Axes] = {}
  used: set[str] = set()
  for left, right, candidates in _wishes(dims, axes_lhs, axes_rhs):
    size = rhs[0][right] if left is None else lhs[0][left]
    for axes in candidates:
      shards = math.prod(mesh_shape[axis] for axis in axes)
      if axes and size % shards == 0 and not used.intersection(axes):
        used.update(axes)
        if left is not None:
          chosen_lhs[left] = axes
        if right is not None:
          chosen_rhs[right] = axes
        break
  cut = _cutting(dims.rhs.contracting, rhs[0], chosen_rhs, mesh_shape)
  pairs = zip(dims.lhs.contracting, dims.rhs.contracting, strict=True)
  for left, right in pairs:
    if right in cut:
      del chosen_lhs[left], chosen_rhs[right]
  for d in _cutting(dims.rhs.free, rhs[0], chosen_rhs, mesh_shape):
    del chosen_rhs[d]
  rows = dims.lhs.batch + dims.lhs.free
  result = [chosen_lhs.get(d) for d in rows]
  result += [chosen_rhs.get(d) for d in dims.rhs.free]
  return DotPlan(
    PartitionSpec(*map(chosen_lhs.get, range(len(lhs[0])))),
    PartitionSpec(*map(chosen_rhs.get, range(len(rhs[0])))),
    PartitionSpec(*result),
    sum((chosen_rhs.get(d, ()) for d in dims.rhs.contracting), ()),
  )


def _wishes(
  dims: DotDimensions, lhs: Sequence[Axes], rhs: Sequence[Axes]
) -> Iterator[tuple[int | None, int | None, tuple[Axes, ...]]]:
  """Yields (dimension of lhs, of rhs, mesh axes it might have), best first."""
  for left, right in zip(dims.lhs.batch, dims.rhs.batch, strict=True):
    yield left, right, (lhs[left], rhs[right])
  contracted = list(
    zip(dims.lhs.contracting, dims.rhs.contracting, strict=True)
  )
  for left, right in contracted:
    if lhs[left] == rhs[right]:
      yield left, right, (lhs[left],)
  for left in dims.lhs.free:
    yield left, None, (lhs[left],)
  for right in dims.rhs.free:
    yield None, right, (rhs[right],)
  for left, right in contracted:
    if lhs[left] != rhs[right]:
      yield left, right, (lhs[left], rhs[right])


def _cutting(
  dims: Dims,
  shape: Sequence[int],
  chosen: Mapping[int, Axes],
  mesh_shape: Mapping[str, int],
) -> set[int]:
  """Returns which sharded ones of `dims`, flattened, would cut a block."""
  found = set()
  size = 1
  # What of the dimensions to the right is on one device.
  for d in reversed(dims):
    shards = math.prod(mesh_shape[axis] for axis in chosen.get(d, ()))
    if d in chosen and size * shape[d] // shards % _BLOCK:
      found.add(d)
      shards = 1
    size *= shape[d] // shards
  return found


def _padded(operand: tuple[Sequence[int], Sequence[Any]]) -> list[Any]:
  shape, entries = operand
  return [*entries, *(None,) * (len(shape) - len(entries))]
