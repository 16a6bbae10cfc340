"""vmap of a GEMM: always one launch, whatever is batched."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.primitives.batch_sharding import (
  Dim,
  explicit_axes,
  over_shards,
)
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder

Bind = Callable[..., jax.Array]


def batch_shards(
  form: GemmForm,
  bind: Bind,
  operands: Sequence[jax.Array],
  dims: Sequence[Dim],
  **params: Any,
) -> tuple[jax.Array, Dim]:
  """Returns what `batch` does, each device computing its part of the batch.

  Only a batch that is sharded over explicit mesh axes needs this: there the
  sharding is part of the types, and a fold would have to give it up.
  """
  axes = explicit_axes(operands, dims)
  if not axes:
    return batch(form, bind, operands, dims, **params)

  def shard(*arrays: jax.Array) -> jax.Array:
    result, dim = batch(form, bind, arrays, dims, **params)
    return jnp.moveaxis(result, dim, 0)

  return over_shards(shard, axes, operands, dims), 0


def batch(
  form: GemmForm,
  bind: Bind,
  operands: Sequence[jax.Array],
  dims: Sequence[Dim],
  **params: Any,
) -> tuple[jax.Array, int]:
  """Returns the batched product and where its batch dimension is.

  Batched rows of a are more rows of one a, batched rows of b more rows of one
  b: neither copies the other operand. A fold needs the scale blocks to end
  where the rows of one element end; else, and where both are batched, the
  batch becomes part of the group dimension.

  Args:
    form: of the operands.
    bind: binds the primitive.
    operands: as `form` says, with one more dimension where batched.
    dims: the batch dimension of each operand, or None.
    **params: of the primitive.
  """
  size = next(
    x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None
  )
  split = form.arrays
  a_is_batched = any(d is not None for d in dims[:split])
  b_is_batched = any(d is not None for d in dims[split : form.c])
  if not a_is_batched and not b_is_batched:
    return _only_c(form, bind, operands, dims, params), 0
  *group, m, _ = form.of_a(_shape(operands[0], dims[0]))
  n = form.of_b(_shape(operands[split], dims[split]))[-2]
  row = len(group)
  positions: tuple[Dim, ...]
  if not b_is_batched and m % form.recipe_a[0] == 0:
    position = row + form.a_k_first
    positions = (*(position,) * split, *(None,) * split, row)
  elif not a_is_batched and n % form.recipe_b[0] == 0:
    position = row + form.b_k_first
    positions = (*(None,) * split, *(position,) * split, row + 1)
  else:
    positions = (0,) * (form.c + 1)
  placed = [
    x if position is None else _place(x, d, size, position)
    for x, d, position in zip(operands, dims, positions, strict=False)
  ]
  if None not in positions and not group:
    # The batch is the group dimension that was absent.
    return _grouped(bind, placed, dims[0], dims[split], params)
  if "memory" in params:
    params["memory"] = ROW_MAJOR  # Of operands before they are merged.
  merged = [
    x if position is None else _merge(x, position)
    for x, position in zip(placed, positions, strict=False)
  ]
  result_dim = positions[form.c]
  shape = [*group, m, n]
  shape.insert(result_dim, size)
  return bind(merged, **params).reshape(shape), result_dim


def _grouped(
  bind: Bind,
  operands: Sequence[jax.Array],
  dim_a: Dim,
  dim_b: Dim,
  params: dict[str, Any],
) -> tuple[jax.Array, int]:
  """Returns the products of groups, and where their dimension is.

  Groups were moved to the front, but lie where they were in memory.
  """
  wished: MemoryOrder | None = params.get("memory")
  if wished is None:
    return bind(operands, **params), 0
  memory = dataclasses.replace(
    wished, a_groups_inside=dim_a == 1, b_groups_inside=dim_b == 1
  )
  result = bind(operands, **(params | {"memory": memory}))
  dim = int(wished.d_groups_inside)
  return jnp.moveaxis(result, 0, dim), dim


def _only_c(
  form: GemmForm,
  bind: Bind,
  operands: Sequence[jax.Array],
  dims: Sequence[Dim],
  params: dict[str, Any],
) -> jax.Array:
  """Returns one product added to each c, rounded once as the kernel does."""
  c = jnp.moveaxis(operands[form.c], dims[form.c], 0)
  inputs = operands[: form.c]
  product = bind(inputs, **(params | {"out_dtype": jnp.dtype("float32")}))
  return (product[None] + c.astype(jnp.float32)).astype(c.dtype)


def _shape(x: jax.Array, dim: Dim) -> tuple[int, ...]:
  """Returns the shape of one element of the batch."""
  return x.shape if dim is None else (*x.shape[:dim], *x.shape[dim + 1 :])


def _place(x: jax.Array, dim: Dim, size: int, position: int) -> jax.Array:
  """Returns x with its batch dimension, made if it has none, at `position`."""
  if dim is not None:
    return jnp.moveaxis(x, dim, position)
  shape = (*x.shape[:position], size, *x.shape[position:])
  return jnp.broadcast_to(jnp.expand_dims(x, position), shape)


def _merge(x: jax.Array, position: int) -> jax.Array:
  """Returns x with dimensions `position` and `position + 1` as one."""
  before, after = x.shape[:position], x.shape[position + 2 :]
  merged = x.shape[position] * x.shape[position + 1]
  return x.reshape(*before, merged, *after)
