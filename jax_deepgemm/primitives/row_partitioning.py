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
  """The dimensions of operands and results; the first of all is rows.

  Rows are the first dimension of every result, and of operands or none of
  theirs.

  Attributes:
    operands: names of the dimensions of each, as in Shardy's rules. Those that
      a call may lack are the last.
    results: the same; of a list if there are several.
  """

  operands: tuple[str, ...]
  results: tuple[str, ...]

  def of(self, num_operands: int) -> "RowRule":
    """Returns the rule of a call with so many operands."""
    return RowRule(self.operands[:num_operands], self.results)

  @property
  def text(self) -> str:
    """Shardy's rule."""
    return f"{', '.join(self.operands)} -> {', '.join(self.results)}"

  @property
  def has_rows(self) -> tuple[bool, ...]:
    """For each operand, whether its first dimension is rows."""
    return tuple(self._rows in dims.split() for dims in self.operands)

  @property
  def replicated(self) -> tuple[str, ...]:
    """All dimensions but rows."""
    names = " ".join(self.operands + self.results).split()
    return tuple(name for name in dict.fromkeys(names) if name != self._rows)

  @property
  def _rows(self) -> str:
    return self.operands[0].split()[0]


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
    rule: of its operands, those that are lacking too.
    ctx: of the lowering.
    *operands: of the primitive.
    **params: of the primitive.
  """

  def function(*arrays: jax.Array) -> Any:
    return bind_local(*arrays, **params)

  chosen, rule = function, rule.of(len(operands))
  if is_partitioned_by_xla(ctx):
    chosen = custom_partitioning(function)
    chosen.def_partition(
      partition=functools.partial(_partition, function, rule),
      sharding_rule=rule.text,
      need_replication_factors=rule.replicated,
    )
  lowered = mlir.lower_fun(chosen, multiple_results=len(rule.results) > 1)
  return lowered(ctx, *operands)


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
