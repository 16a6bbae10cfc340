"""Results of a choice where there is nothing to choose from."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.sharding import PartitionSpec

DTYPES = (np.dtype(np.float32), np.dtype(np.int32))
_NOTHING = (np.float32(-np.inf), np.int32(-1))


def nothing(shape: tuple[int, ...]) -> list[jax.Array]:
  """Returns values and keys of this shape that are not there."""
  return [jnp.full(shape, x) for x in _NOTHING]


def padded(results: list[jax.Array], k: int) -> tuple[jax.Array, jax.Array]:
  """Returns `[..., k]` of fewer values and keys: others are not there."""
  values, keys = (
    jnp.pad(
      x,
      [(0, 0)] * (x.ndim - 1) + [(0, k - x.shape[-1])],
      constant_values=fill,
    )
    for x, fill in zip(results, _NOTHING, strict=True)
  )
  return values, keys


def abstract(q: ShapedArray, shape: tuple[int, ...]) -> list[ShapedArray]:
  """Returns the types of values and keys, with rows as those of q.

  From an operand, so that inside shard_map the results vary as it does.

  Args:
    q: rows first.
    shape: of the results.
  """
  spec = PartitionSpec(q.sharding.spec[0], *(None,) * (len(shape) - 1))
  sharding = q.sharding.update(spec=spec)
  return [
    q.update(shape=shape, dtype=dtype, weak_type=False, sharding=sharding)
    for dtype in DTYPES
  ]
