"""Automatic partitioning of MQA logits: rows may be sharded, keys may not."""

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

_RULE = "s h d, k d, k, s h, s, s -> s w"
_REPLICATED = ("h", "d", "k", "w")


def lower(
  bind_local: Callable[..., Any],
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  rule: str = _RULE,
  multiple_results: bool = False,
  **params: Any,
) -> Any:
  """Lowers to `bind_local`, for XLA to partition if there are more devices.

  Args:
    bind_local: binds the primitive that one device runs.
    ctx: of the lowering.
    *operands: of the primitive.
    rule: Shardy's.
    multiple_results: whether `bind_local` returns a list.
    **params: of the primitive.
  """

  def function(
    q: jax.Array,
    keys: jax.Array,
    key_scales: jax.Array,
    weights: jax.Array,
    starts: jax.Array,
    ends: jax.Array,
  ) -> Any:
    arrays = (q, keys, key_scales, weights, starts, ends)
    return bind_local(*arrays, **params)

  chosen = function
  if is_partitioned_by_xla(ctx):
    chosen = custom_partitioning(function)
    chosen.def_partition(
      partition=functools.partial(_partition, function),
      sharding_rule=rule,
      need_replication_factors=_REPLICATED,
    )
  lower_chosen = mlir.lower_fun(chosen, multiple_results=multiple_results)
  return lower_chosen(ctx, *operands)


def _partition(
  function: Callable[..., Any],
  mesh: Mesh,
  operands: Sequence[jax.ShapeDtypeStruct],
  results: Any,
) -> tuple[Any, ...]:
  rows = _rows(mesh, operands[0], *jax.tree.leaves(results))
  specs = ((rows, None, None), (), (), (rows, None), (rows,), (rows,))
  shardings = tuple(NamedSharding(mesh, PartitionSpec(*spec)) for spec in specs)
  by_rows = NamedSharding(mesh, PartitionSpec(rows))
  return mesh, function, jax.tree.map(lambda _: by_rows, results), shardings


def _rows(mesh: Mesh, *arrays: Any) -> tuple[str, ...] | None:
  """Returns the axes that rows of the first array are sharded over, if any."""
  for x in arrays:
    axes = axes_of_entry((*x.sharding.spec, None)[0])
    shards = math.prod(mesh.shape[axis] for axis in axes)
    if axes and x.shape[0] % shards == 0:
      return axes
  return None
