"""Which mesh axes each dimension of a GEMM is sharded over: a pure function."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import PartitionSpec

Axes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
  """Mesh axes of each dimension; () is not sharded, and no axis comes twice.

  The scales of an operand are sharded as the operand is.
  """

  g: Axes = ()
  m: Axes = ()
  n: Axes = ()
  k: Axes = ()

  @property
  def a(self) -> PartitionSpec:
    """The sharding of a `[g, m, k]` and of its scales."""
    return _spec(self.g, self.m, self.k)

  @property
  def b(self) -> PartitionSpec:
    """The sharding of b `[g, n, k]` and of its scales."""
    return _spec(self.g, self.n, self.k)

  @property
  def result(self) -> PartitionSpec:
    """The sharding of c and the result `[g, m, n]`."""
    return _spec(self.g, self.m, self.n)


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes of a GEMM and the multiples that a shard of m, n and k must be."""

  g: int
  m: int
  n: int
  k: int
  align_m: int
  align_n: int
  align_k: int

  @classmethod
  def of(
    cls,
    a_shape: Sequence[int],
    b_shape: Sequence[int],
    recipe_a: tuple[int, int],
    recipe_b: tuple[int, int],
  ) -> "Sizes":
    """Returns the sizes of a `[g, m, k]` times b `[g, n, k]`.

    A shard must hold whole scale blocks, or a block's scale would be needed
    by two devices.
    """
    return cls(
      g=a_shape[0],
      m=a_shape[1],
      n=b_shape[1],
      k=a_shape[2],
      align_m=recipe_a[0],
      align_n=recipe_b[0],
      align_k=max(recipe_a[1], recipe_b[1]),
    )


def make_plan(
  sizes: Sizes,
  mesh_shape: Mapping[str, int],
  a: Sequence[Any],
  b: Sequence[Any],
  result: Sequence[Any] = (None, None, None),
) -> Plan:
  """Returns the shardings that move the least data.

  A dimension keeps the sharding that an operand (else the result) has, as
  long as its shards are equal and aligned and the axes are still free. k goes
  first when both operands agree on it: the product of what is already there
  needs one reduction and no gather. k sharded on one side only goes last: the
  other side is then sliced, which costs nothing.

  Args:
    sizes: of the GEMM.
    mesh_shape: mesh axis -> its size.
    a: entries of the PartitionSpec of a `[g, m, k]`.
    b: entries of the PartitionSpec of b `[g, n, k]`.
    result: entries of the PartitionSpec wanted for `[g, m, n]`.
  """
  k_agrees = axes_of_entry(a[2]) == axes_of_entry(b[2])
  wishes = [
    ("g", 1, (a[0], b[0], result[0])),
    ("k", sizes.align_k, (a[2],) if k_agrees else ()),
    ("m", sizes.align_m, (a[1], result[1])),
    ("n", sizes.align_n, (b[1], result[2])),
    ("k", sizes.align_k, () if k_agrees else (a[2], b[2])),
  ]
  chosen: dict[str, Axes] = {}
  for name, alignment, candidates in wishes:
    used = {axis for axes in chosen.values() for axis in axes}
    for axes in map(axes_of_entry, candidates):
      shards = math.prod(mesh_shape[axis] for axis in axes)
      fits = getattr(sizes, name) % (shards * alignment) == 0
      if axes and fits and not used.intersection(axes):
        chosen[name] = axes
        break
  return Plan(**chosen)


def axes_of_entry(entry: Any) -> Axes:
  """Returns the mesh axes of one entry of a PartitionSpec."""
  if entry is None or entry is PartitionSpec.UNCONSTRAINED:
    return ()
  return (entry,) if isinstance(entry, str) else tuple(entry)


def _spec(*dimensions: Axes) -> PartitionSpec:
  return PartitionSpec(*(axes or None for axes in dimensions))
