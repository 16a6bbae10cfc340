"""Automatic partitioning of operations on rows, where nothing else is cut."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_deepgemm.primitives.gemm_partitioning import is_partitioned_by_xla
from jax_deepgemm.primitives.partition_plan import axes_of_entry


@dataclasses.dataclass(frozen=True)
class RowRule:
  """Which operands have rows, the first one and others.

  Attributes:
    rule: Shardy's rule; rows are one of its factors.
    replicated: its other factors.
    has_rows: for each operand, whether its first dimension is rows.
    multiple_results: whether a list is returned, all of it with rows.
  """

  rule: str
  replicated: tuple[str, ...]
  has_rows: tuple[bool, ...]
  multiple_results: bool = False


def lower(
  bind_local: Callable[..., Any],
  rule: RowRule,
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  **params: Any,
) -> Any:
  """Lowers to `bind_local`, for XLA to partition if there are more devices.

  Args:
    bind_local: binds the primitive that one device runs.
    rule: how its operands are cut.
    ctx: of the lowering.
    *operands: of the primitive.
    **params: of the primitive.
  """

  def function(*arrays: jax.Array) -> Any:
    return bind_local(*arrays, **params)

  chosen = function
  if is_partitioned_by_xla(ctx):
    chosen = custom_partitioning(function)
    chosen.def_partition(
      partition=functools.partial(_partition, function, rule),
      sharding_rule=rule.rule,
      need_replication_factors=rule.replicated,
    )
  lower_chosen = mlir.lower_fun(chosen, multiple_results=rule.multiple_results)
  return lower_chosen(ctx, *operands)


def _partition(
  function: Callable[..., Any],
  rule: RowRule,
  mesh: Mesh,
  operands: Sequence[jax.ShapeDtypeStruct],
  results: Any,
) -> tuple[Any, ...]:
  rows = _rows(mesh, operands[0], *jax.tree.leaves(results))
  by_rows = NamedSharding(mesh, PartitionSpec(rows))
  whole = NamedSharding(mesh, PartitionSpec())
  shardings = tuple(by_rows if own else whole for own in rule.has_rows)
  return mesh, function, jax.tree.map(lambda _: by_rows, results), shardings


def _rows(mesh: Mesh, *arrays: Any) -> tuple[str, ...] | None:
  """Returns the axes that rows of an array are sharded over, if any."""
  for x in arrays:
    axes = axes_of_entry((*x.sharding.spec, None)[0])
    shards = math.prod(mesh.shape[axis] for axis in axes)
    if axes and x.shape[0] % shards == 0:
      return axes
  return None
