"""vmap over a batch that is sharded over explicit mesh axes."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import PartitionSpec

from jax_deepgemm.primitives.varying import to_common_varying

Dim = int | None


def explicit_axes(
  operands: Sequence[jax.Array], dims: Sequence[Dim]
) -> tuple[str, ...]:
  """Returns the explicit mesh axes that the batch is sharded over."""
  for x, d in zip(operands, dims, strict=True):
    entry = None if d is None else jax.typeof(x).sharding.spec[d]
    if entry is not None:
      return (entry,) if isinstance(entry, str) else tuple(entry)
  return ()


def over_shards(
  function: Callable[..., Any],
  axes: tuple[str, ...],
  operands: Sequence[jax.Array],
  dims: Sequence[Dim],
) -> Any:
  """Returns the results of each device's part of the batch, batch first.

  There the sharding is part of the types, and to fold the batch into rows would
  have to give it up.

  Args:
    function: of operands that vary alike; its results have the batch first.
    axes: from `explicit_axes`, not empty.
    operands: with a batch dimension where `dims` has one.
    dims: the batch dimension of each operand, or None.
  """
  meshes = (jax.typeof(x).sharding.mesh for x in operands)
  mesh = next(mesh for mesh in meshes if mesh.explicit_axes)
  mapped = jax.shard_map(
    lambda *arrays: function(*to_common_varying(arrays)),
    mesh=mesh,
    in_specs=tuple(
      PartitionSpec() if d is None else PartitionSpec(*(None,) * d, axes)
      for d in dims
    ),
    out_specs=PartitionSpec(axes),
    axis_names=frozenset(mesh.explicit_axes),
  )
  return mapped(*operands)
