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

# The last operand, the scales of q, is there for FP4 only.
_OPERANDS = ("s h d", "k d", "k", "s h", "s", "s", "s h")
_REPLICATED = ("h", "d", "k", "w")


def lower(
  bind_local: Callable[..., jax.Array],
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  **params: Any,
) -> Any:
  """Lowers to `bind_local`, for XLA to partition if there are more devices.

  Args:
    bind_local: binds the primitive that one device runs.
    ctx: of the lowering.
    *operands: of the primitive.
    **params: of the primitive.
  """

  def function(*arrays: jax.Array) -> jax.Array:
    return bind_local(*arrays, **params)

  chosen = function
  rule = f"{', '.join(_OPERANDS[: len(operands)])} -> s w"
  if is_partitioned_by_xla(ctx):
    chosen = custom_partitioning(function)
    chosen.def_partition(
      partition=functools.partial(_partition, function),
      sharding_rule=rule,
      need_replication_factors=_REPLICATED,
    )
  return mlir.lower_fun(chosen, multiple_results=False)(ctx, *operands)


def _partition(
  function: Callable[..., jax.Array],
  mesh: Mesh,
  operands: Sequence[jax.ShapeDtypeStruct],
  result: jax.ShapeDtypeStruct,
) -> tuple[Any, ...]:
  rows = _rows(mesh, operands[0], result)
  has_rows = ("s" in dims for dims in _OPERANDS[: len(operands)])
  shardings = tuple(
    NamedSharding(mesh, PartitionSpec(*(rows,) * sharded))
    for sharded in has_rows
  )
  return mesh, function, NamedSharding(mesh, PartitionSpec(rows)), shardings


def _rows(mesh: Mesh, *arrays: Any) -> tuple[str, ...] | None:
  """Returns the axes that rows of the first array are sharded over, if any."""
  for x in arrays:
    axes = axes_of_entry((*x.sharding.spec, None)[0])
    shards = math.prod(mesh.shape[axis] for axis in axes)
    if axes and x.shape[0] % shards == 0:
      return axes
  return None
