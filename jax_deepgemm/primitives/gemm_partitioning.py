"""Automatic partitioning of a GEMM: what XLA is told, and what it gets.

XLA asks how dimensions of operands and result belong together (a Shardy rule),
propagates shardings, and calls back for the program of one device.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

# There is no public way to be given the devices of a lowering.
from jax._src import dispatch
from jax.experimental.custom_partitioning import custom_partitioning
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jax_deepgemm.primitives import gemm_sharding_rule
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.gemm_lowering import lower_grouped
from jax_deepgemm.primitives.partition_plan import make_plan

Bind = Callable[..., jax.Array]


def require_devices(primitive: Primitive) -> None:
  """Makes JAX hand the devices to the lowering rule of `primitive`."""
  dispatch.prim_requires_devices_during_lowering.add(primitive)


def lower(
  form_of: Callable[..., GemmForm],
  bind_local: Bind,
  ctx: mlir.LoweringRuleContext,
  *operands: mlir.ir.Value,
  **params: Any,
) -> Any:
  """Lowers to `bind_local`, for XLA to partition if there are more devices.

  Args:
    form_of: the form of the operands, from the primitive's parameters.
    bind_local: binds the primitive that one device runs.
    ctx: of the lowering.
    *operands: as the form says.
    **params: of the primitive.
  """
  form = form_of(**params)

  def function(*arrays: jax.Array, k_axes: Sequence[str] = ()) -> jax.Array:
    def product(c: jax.Array | None, out_dtype: Any) -> jax.Array:
      inputs = arrays[: form.c] if c is None else (*arrays[: form.c], c)
      return bind_local(inputs, **(params | {"out_dtype": out_dtype}))

    c = arrays[form.c] if len(arrays) > form.c else None
    return contract_shards(product, c, k_axes, params["out_dtype"])

  if is_partitioned_by_xla(ctx):
    function = _partitioned(function, len(operands), form)
  return lower_grouped(function)(ctx, *operands)


def is_partitioned_by_xla(ctx: mlir.LoweringRuleContext) -> bool:
  """Returns whether XLA will partition the program over several devices.

  Not in a program for export: a partition callback is a pointer into this
  process, which cannot be serialised.
  """
  module = ctx.module_context
  context = module.axis_context
  return (
    isinstance(context, mlir.ShardingContext)
    and context.num_devices > 1
    and context.abstract_mesh is not None
    and not module.lowering_parameters.for_export
  )


def _partitioned(
  function: Callable[..., jax.Array],
  num_operands: int,
  form: GemmForm,
) -> custom_partitioning:
  """Returns `function` with the rule and the callback that XLA asks."""

  def sharding_rule(
    mesh: Mesh,
    operand_types: Sequence[mlir.ir.Type],
    result_types: Sequence[mlir.ir.Type],
  ) -> tuple[str, dict[str, Any]]:
    del mesh, result_types
    return gemm_sharding_rule.sharding_rule(
      operand_types[0].shape,
      operand_types[form.arrays].shape,
      form,
      has_c=num_operands > form.c,
    )

  def partition(
    mesh: Mesh,
    operands: Sequence[jax.ShapeDtypeStruct],
    result: jax.ShapeDtypeStruct,
  ) -> tuple[Any, ...]:
    a, b = operands[0], operands[form.arrays]
    plan = make_plan(
      form.sizes(a.shape, b.shape),
      mesh.shape,
      form.of_a(a.sharding.spec),
      form.of_b(b.sharding.spec),
      result.sharding.spec,
    )
    spec_a = PartitionSpec(*form.of_a(plan.a))
    spec_b = PartitionSpec(*form.of_b(plan.b))
    specs = (*(spec_a,) * form.arrays, *(spec_b,) * form.arrays, plan.result)
    return (
      mesh,
      functools.partial(function, k_axes=plan.k),
      NamedSharding(mesh, plan.result),
      tuple(NamedSharding(mesh, spec) for spec in specs[:num_operands]),
    )

  # The wrapper inspects the signature to count operands.
  names = form.names[:num_operands]
  function.__signature__ = inspect.Signature(
    [inspect.Parameter(x, inspect.Parameter.POSITIONAL_ONLY) for x in names]
  )
  wrapped = custom_partitioning(function)
  wrapped.def_partition(partition=partition, sharding_rule=sharding_rule)
  return wrapped


def contract_shards(
  product: Callable[[jax.Array | None, Any], jax.Array],
  c: jax.Array | None,
  k_axes: Sequence[str],
  out_dtype: Any,
) -> jax.Array:
  """Returns c + a @ b.T where k is sharded over the mesh axes `k_axes`.

  The shards' products are summed in float32; c is added to the sum, once, and
  rounded with it, as on one device.

  Args:
    product: (c, out_dtype) -> c + the product of this device's shards.
    c: this device's shard of c, or None.
    k_axes: mesh axes; with none of them the product is the result.
    out_dtype: dtype of the result.
  """
  if not k_axes:
    return product(c, out_dtype)
  total = jax.lax.psum(product(None, jnp.dtype("float32")), tuple(k_axes))
  if c is not None:
    total = total + c.astype(jnp.float32)
  return total.astype(out_dtype)
