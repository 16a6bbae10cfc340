"""Operations on rows whose sharding is part of their type."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from jax_deepgemm.explicit_sharding import (
  explicit_mesh,
  placed,
  vmapped_axes,
)
from jax_deepgemm.gemm_operands import Operand


def over_rows(
  function: Callable[..., Any],
  operands: Sequence[Operand],
  has_rows: Sequence[bool],
) -> Any:
  """Returns function(*operands), each device computing that of its rows.

  Args:
    function: of the operands; its results have the rows first.
    operands: the first has rows.
    has_rows: which of them have a first dimension of rows, and are sharded as
      the first; the others are gathered.
  """
  mesh = explicit_mesh(*operands)
  if mesh is None:
    return function(*operands)
  rows = (*jax.typeof(operands[0]).sharding.spec, None)[0]
  specs = tuple(P(rows) if sharded else P() for sharded in has_rows)
  operands = [
    placed(x, mesh, P(*spec, *(None,) * (_rank(x) - len(spec))))
    for x, spec in zip(operands, specs, strict=True)
  ]
  if rows is None and vmapped_axes():
    # Only the batch of a vmap is sharded: the batching rule maps over it.
    return function(*operands)
  mapped = jax.shard_map(
    function,
    mesh=mesh,
    in_specs=specs,
    out_specs=P(rows),
    axis_names=frozenset(mesh.explicit_axes) - vmapped_axes(),
  )
  return mapped(*operands)


def _rank(operand: Operand) -> int:
  """Returns the dimensions of all arrays of an operand, or 0 if they differ."""
  ranks = {np.ndim(x) for x in jax.tree.leaves(operand)}
  return ranks.pop() if len(ranks) == 1 else 0
