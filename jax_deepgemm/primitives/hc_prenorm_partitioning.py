"""Partitioning of a product with the sums of squares of its rows.

Rows are independent. Shards of K have partial sums of both results, as long as
nobody asked for partial sums of other parts. Rows of b, at most a few dozen,
are never sharded: each device needs all of a's rows for the sums of squares.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_deepgemm.primitives.gemm_partitioning import is_partitioned_by_xla
from jax_deepgemm.primitives.hc_prenorm_lowering import lower_grouped
from jax_deepgemm.primitives.partition_plan import Plan, Sizes, make_plan

_NO_SCALES = (1, 1)


def plan_of(
  a_shape: Sequence[int],
  b_shape: Sequence[int],
  mesh_shape: Mapping[str, int],
  a: Sequence[Any],
  b: Sequence[Any],
  num_splits: int | None,
  result: Sequence[Any] = (None, None, None),
) -> Plan:
  """Returns the mesh axes of groups, rows and K.

  Args:
    a_shape: `(g, m, k)`.
    b_shape: `(g, n, k)`.
    mesh_shape: mesh axis -> its size.
    a: entries of the PartitionSpec of a.
    b: entries of the PartitionSpec of b.
    num_splits: K is not sharded unless it is None.
    result: entries of the PartitionSpec wanted for `[g, m, n]`.
  """
  whole_k = num_splits is not None
  return make_plan(
    Sizes.of(a_shape, b_shape, _NO_SCALES, _NO_SCALES),
    mesh_shape,
    (*a[:2], None if whole_k else a[2]),
    (b[0], None, None if whole_k else b[2]),
    (*result[:2], None),
  )


def summed_over_k(
  results: Sequence[jax.Array], k_axes: Sequence[str]
) -> tuple[jax.Array, jax.Array]:
  """Returns the sums of both results over the mesh axes that shard k."""
  d, sqr_sum = results
  return jax.lax.psum((d, sqr_sum), tuple(k_axes)) if k_axes else (d, sqr_sum)


def lower(
  bind_local: Callable[..., Sequence[jax.Array]],
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  num_splits: int | None,
  **params: Any,
) -> Any:
  """Lowers to `bind_local`, for XLA to partition if there are more devices.

  Args:
    bind_local: binds the primitive that one device runs.
    ctx: of the lowering.
    *operands: a and b.
    num_splits: of the primitive.
    **params: of the primitive.
  """

  def function(
    a: jax.Array, b: jax.Array, k_axes: Sequence[str] = ()
  ) -> tuple[jax.Array, jax.Array]:
    results = bind_local(a, b, num_splits=num_splits, **params)
    return summed_over_k(results, k_axes)

  if is_partitioned_by_xla(ctx):
    function = _partitioned(function, num_splits)
  return lower_grouped(function)(ctx, *operands)


def _partitioned(
  function: Callable[..., tuple[jax.Array, jax.Array]], num_splits: int | None
) -> custom_partitioning:
  """Returns `function` with the rule and the callback that XLA asks."""

  def partition(
    mesh: Mesh,
    operands: Sequence[jax.ShapeDtypeStruct],
    results: Sequence[jax.ShapeDtypeStruct],
  ) -> tuple[Any, ...]:
    a, b = operands
    plan = plan_of(
      a.shape,
      b.shape,
      mesh.shape,
      a.sharding.spec,
      b.sharding.spec,
      num_splits,
      results[0].sharding.spec[1:],
    )
    return (
      mesh,
      functools.partial(function, k_axes=plan.k),
      tuple(
        NamedSharding(mesh, PartitionSpec(None, *spec))
        for spec in (plan.result, plan.result[:2])
      ),
      tuple(NamedSharding(mesh, spec) for spec in (plan.a, plan.b)),
    )

  @custom_partitioning
  def wrapped(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    return function(a, b)

  wrapped.def_partition(
    partition=partition,
    sharding_rule=_RULE,
    **(
      {"reduction_factors": ("k",), "need_replication_factors": ("n", "s")}
      if num_splits is None
      else {"need_replication_factors": ("k", "n", "s")}
    ),
  )
  return wrapped


_RULE = "g m k, g n k -> s g m n, s g m"
