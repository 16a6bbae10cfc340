"""Operations on rows whose sharding is part of their type."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, PartitionSpec

from jax_deepgemm.explicit_sharding import placed, vmapped_axes


def over_rows(
  function: Callable[..., Any],
  mesh: AbstractMesh,
  operands: Sequence[jax.Array],
  has_rows: Sequence[bool],
) -> Any:
  """Returns `function` of the operands, each device computing its rows.

  Rows are sharded as those of the first operand; what has none is gathered.

  Args:
    function: of the operands; its results have the rows first.
    mesh: what `explicit_mesh` found.
    operands: the first has rows.
    has_rows: which operands have rows as their first dimension.
  """
  rows = (*jax.typeof(operands[0]).sharding.spec, None)[0]
  specs = tuple(
    PartitionSpec(rows) if own else PartitionSpec() for own in has_rows
  )
  arrays = [
    placed(x, mesh, PartitionSpec(*spec, *(None,) * (x.ndim - len(spec))))
    for x, spec in zip(operands, specs, strict=True)
  ]
  if rows is None and vmapped_axes():
    # Only the batch of a vmap is sharded: the batching rule maps over it.
    return function(*arrays)
  mapped = jax.shard_map(
    function,
    mesh=mesh,
    in_specs=specs,
    out_specs=PartitionSpec(rows),
    axis_names=frozenset(mesh.explicit_axes) - vmapped_axes(),
  )
  return mapped(*arrays)
