"""Dot products of operands whose sharding is part of their type."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh

from jax_deepgemm.dot_dimensions import DotDimensions
from jax_deepgemm.dot_partition_plan import make_dot_plan
from jax_deepgemm.explicit_sharding import placed, vmapped_axes
from jax_deepgemm.gemm_gradient import GemmParams
from jax_deepgemm.primitives.gemm_partitioning import contract_shards

Product = Callable[
  [jax.Array, jax.Array, jax.Array | None, DotDimensions, GemmParams],
  jax.Array,
]


def dot_over_mesh(
  product: Product,
  mesh: AbstractMesh,
  lhs: jax.Array,
  rhs: jax.Array,
  main_grad: jax.Array | None,
  dims: DotDimensions,
  params: GemmParams,
) -> jax.Array:
  """Returns the product, each device computing its shard.

  Args:
    product: computes one shard, of the arguments that follow.
    mesh: what `explicit_mesh` found.
    lhs: any shape.
    rhs: any shape.
    main_grad: of the shape of rhs, or None; the shards of rows add their parts
      of the gradient before it is added.
    dims: of the product.
    params: of the product.
  """
  plan = make_dot_plan(
    dims,
    mesh.shape,
    *((x.shape, jax.typeof(x).sharding.spec) for x in (lhs, rhs)),
  )
  specs = (plan.lhs, plan.rhs, plan.rhs)
  operands = [
    placed(x, mesh, spec)
    for x, spec in zip((lhs, rhs, main_grad), specs, strict=True)
  ]
  if vmapped_axes() and not any((*plan.lhs, *plan.rhs)):
    # As in gemm_over_mesh: a shard_map would gather the batch of the vmap.
    return product(*operands, dims, params)

  def shard(
    lhs: jax.Array, rhs: jax.Array, main_grad: jax.Array | None
  ) -> jax.Array:
    def local(c: None, out_dtype: Any) -> jax.Array:
      del c
      changed = dataclasses.replace(params, out_dtype=jnp.dtype(out_dtype))
      return product(lhs, rhs, main_grad, dims, changed)

    return contract_shards(local, None, plan.k, params.out_dtype)

  mapped = jax.shard_map(
    shard,
    mesh=mesh,
    in_specs=specs,
    out_specs=plan.result,
    axis_names=frozenset(mesh.explicit_axes) - vmapped_axes(),
  )
  return mapped(*operands)
