"""GEMM of operands whose sharding is part of their type (explicit mesh axes).

XLA never sees an unpartitioned call: the operands' types say where their
shards are, so the call is put into a `shard_map` of its own.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp

# There is no public way to learn the mesh axes of an enclosing vmap.
from jax._src import core
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec

from jax_deepgemm.gemm_operands import Operand, values_of
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.gemm_partitioning import contract_shards
from jax_deepgemm.primitives.partition_plan import Plan, make_plan


class _GemmParams(Protocol):
  """What is read of a GEMM's parameters, a frozen dataclass."""

  out_dtype: jnp.dtype

  @property
  def form(self) -> GemmForm:
    """How the operands lie."""


_Params = TypeVar("_Params", bound=_GemmParams)
Gemm = Callable[[Operand, Operand, jax.Array | None, _Params], jax.Array]


def explicit_mesh(*operands: Any) -> AbstractMesh | None:
  """Returns the mesh with explicit axes that an operand is on, or None."""
  for x in jax.tree.leaves(operands):
    mesh = jax.typeof(x).sharding.mesh
    if mesh.explicit_axes:
      return mesh
  return None


def gemm_over_mesh(
  gemm: Gemm[_Params],
  mesh: AbstractMesh,
  a: Operand,
  b: Operand,
  c: jax.Array | None,
  params: _Params,
) -> jax.Array:
  """Returns gemm(a, b, c, params), each device computing its shard.

  Sharded m and n need no communication and sharded k one sum over its axes.
  A dimension whose shards would cut scale blocks is gathered first.

  Args:
    gemm: computes one shard.
    mesh: what `explicit_mesh` found.
    a: `[m, k]`, or as `params.form` says.
    b: `[n, k]`, likewise.
    c: `[m, n]` or None.
    params: of the GEMM.
  """
  form = params.form
  sizes = form.sizes((1, *values_of(a).shape), (1, *values_of(b).shape))
  wished = (form.of_a(_entries(a)), form.of_b(_entries(b)), _entries(c))
  plan = make_plan(sizes, mesh.shape, *wished)
  specs = tuple(
    PartitionSpec(*spec[1:])
    for spec in (form.of_a(plan.a), form.of_b(plan.b), plan.result)
  )
  operands = [
    placed(x, mesh, spec) for x, spec in zip((a, b, c), specs, strict=True)
  ]
  if plan == Plan() and vmapped_axes():
    # Only the batch of a vmap is sharded, and a shard_map would gather it; the
    # batching rule of the primitive maps over it instead.
    return gemm(*operands, params)

  def shard(a: Operand, b: Operand, c: jax.Array | None) -> jax.Array:
    def product(c: jax.Array | None, out_dtype: Any) -> jax.Array:
      return gemm(a, b, c, dataclasses.replace(params, out_dtype=out_dtype))

    return contract_shards(product, c, plan.k, params.out_dtype)

  mapped = jax.shard_map(
    shard,
    mesh=mesh,
    in_specs=specs,
    out_specs=specs[2],
    axis_names=frozenset(mesh.explicit_axes) - vmapped_axes(),
  )
  return mapped(*operands)


def vmapped_axes() -> frozenset[str]:
  """Returns the explicit axes that batches of vmaps around are sharded over."""
  return core.get_axis_env().explicit_mesh_axis_names


def _entries(operand: Operand | None) -> tuple[Any, ...]:
  """Returns the entries (group, rows, columns) of an operand's sharding."""
  if operand is None:
    return (None, None, None)
  spec = jax.typeof(values_of(operand)).sharding.spec
  return (None, *spec, *(None,) * (2 - len(spec)))


def placed(operand: Any, mesh: AbstractMesh, spec: PartitionSpec) -> Any:
  """Returns the operand, values and scales alike, sharded as `spec`."""
  sharding = NamedSharding(mesh, spec)

  def place(x: jax.Array) -> jax.Array:
    if jax.typeof(x).sharding == sharding:
      return x
    return jax.sharding.reshard(x, sharding)

  return jax.tree.map(place, operand)
