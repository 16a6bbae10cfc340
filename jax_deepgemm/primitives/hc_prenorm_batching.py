"""vmap of a product with the sums of squares of its rows: one launch."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.primitives.batch_sharding import explicit_axes, over_shards

Bind = Callable[..., list[jax.Array]]


def batch(
  bind: Bind,
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  **params: Any,
) -> tuple[list[jax.Array], list[int]]:
  """Returns the batched results and where their batch dimensions are.

  A batch that is sharded over explicit mesh axes is mapped over: a fold would
  have to give up the sharding, which is part of the types.
  """
  axes = explicit_axes(operands, dims)
  if not axes:
    return _batch(bind, operands, dims, **params)

  def shard(*arrays: jax.Array) -> list[jax.Array]:
    results, places = _batch(bind, arrays, dims, **params)
    return [jnp.moveaxis(x, i, 0) for x, i in zip(results, places, strict=True)]

  return over_shards(shard, axes, operands, dims), [0, 0]


def _batch(
  bind: Bind,
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  **params: Any,
) -> tuple[list[jax.Array], list[int]]:
  """More rows of one a, else more groups; a batch of b alone repeats a."""
  size = next(
    x.shape[d] for x, d in zip(operands, dims, strict=True) if d is not None
  )
  a, b = operands
  if dims[1] is None:
    a = jnp.moveaxis(a, dims[0], -3)
    *group, _, m, k = a.shape
    d, sqr_sum = bind(a.reshape(*group, size * m, k), b, **params)
    place = 1 + len(group)
    return [
      x.reshape(*x.shape[:place], size, m, *x.shape[place + 1 :])
      for x in (d, sqr_sum)
    ], [place, place]
  a, b = (
    jnp.broadcast_to(x, (size, *x.shape))
    if d is None
    else jnp.moveaxis(x, d, 0)
    for x, d in zip(operands, dims, strict=True)
  )
  group = a.shape[1:-2]
  merged = [x.reshape(-1, *x.shape[-2:]) for x in (a, b)]
  results = bind(*merged, **params)
  return [x.reshape(x.shape[0], size, *group, *x.shape[2:]) for x in results], [
    1,
    1,
  ]
