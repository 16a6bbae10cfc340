"""vmap of MQA logits: one launch if all elements have the same keys."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.primitives.batch_sharding import explicit_axes, over_shards

Bind = Callable[..., Any]  # Returns an array or a list of them.


def batch_shards(
  bind: Bind,
  has_rows: Sequence[bool],
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  **params: Any,
) -> tuple[Any, Any]:
  """Returns what `_batch` does, each device computing its part of the batch.

  A batch that is sharded over explicit mesh axes is so by its type, which rows
  of all its elements together would lose.

  Args:
    bind: binds the primitive.
    has_rows: which operands have rows, those that are lacking too; the first
      one has.
    operands: of the primitive, with one more dimension where batched.
    dims: the batch dimension of each operand, or None.
    **params: of the primitive.
  """
  moved = [
    x if d is None else jnp.moveaxis(x, d, 0)
    for x, d in zip(operands, dims, strict=True)
  ]
  is_batched = [d is not None for d in dims]
  has_rows = has_rows[: len(operands)]
  first = [None if d is None else 0 for d in dims]
  axes = explicit_axes(moved, first)

  def shard(*arrays: jax.Array) -> Any:
    return _batch(bind, arrays, is_batched, has_rows, params)

  results = over_shards(shard, axes, moved, first) if axes else shard(*moved)
  return results, jax.tree.map(lambda _: 0, results)


def _batch(
  bind: Bind,
  operands: Sequence[jax.Array],
  is_batched: Sequence[bool],
  has_rows: Sequence[bool],
  params: dict[str, Any],
) -> Any:
  """Returns the results of a batch; its dimension is the first everywhere."""
  if any(x and not y for x, y in zip(is_batched, has_rows, strict=True)):
    return _one_after_the_other(bind, operands, is_batched, params)
  pairs = list(zip(operands, is_batched, strict=True))
  size = next(x.shape[0] for x, batched in pairs if batched)
  num_rows = operands[0].shape[int(is_batched[0])]

  def flat(x: jax.Array, batched: bool) -> jax.Array:
    x = x if batched else jnp.broadcast_to(x, (size, *x.shape))
    return x.reshape(size * num_rows, *x.shape[2:])

  together = [
    flat(x, batched) if own else x
    for (x, batched), own in zip(pairs, has_rows, strict=True)
  ]
  return jax.tree.map(
    lambda result: result.reshape(size, num_rows, *result.shape[1:]),
    bind(*together, **params),
  )


def _one_after_the_other(
  bind: Bind,
  operands: Sequence[jax.Array],
  is_batched: Sequence[bool],
  params: dict[str, Any],
) -> Any:
  pairs = list(zip(operands, is_batched, strict=True))

  def compute(elements: list[jax.Array]) -> Any:
    element = iter(elements)
    arrays = (next(element) if batched else x for x, batched in pairs)
    return bind(*arrays, **params)

  return jax.lax.map(compute, [x for x, batched in pairs if batched])
