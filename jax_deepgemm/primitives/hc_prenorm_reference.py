"""A product with the sums of squares of its rows, in jax.numpy."""

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.alignment import align

BLOCK_K = 64  # What K is cut in where it is split.


def hc_prenorm_gemm(
  a: jax.Array, b: jax.Array, *, num_splits: int | None
) -> tuple[jax.Array, jax.Array]:
  """Returns sum_k a b and sum_k a^2 of each split of K, in float32.

  Split s of S has blocks of 64 columns: floor(blocks / S) in a row, and one
  more if it is among the first blocks mod S.

  Args:
    a: bfloat16 `[..., m, k]`.
    b: float32 `[..., n, k]`.
    num_splits: how many splits; None is one.

  Returns:
    `[num_splits, ..., m, n]` and `[num_splits, ..., m]`.
  """
  splits = 1 if num_splits is None else num_splits
  k = a.shape[-1]
  padding = ((0, 0),) * (a.ndim - 1) + ((0, align(k, BLOCK_K) - k),)
  a = jnp.pad(a, padding).astype(jnp.float32)
  b = jnp.pad(b, padding)
  per_split, longer = divmod(a.shape[-1] // BLOCK_K, splits)
  cut = longer * (per_split + 1) * BLOCK_K
  parts = [
    _of_equal_splits(a[..., :cut], b[..., :cut], longer),
    _of_equal_splits(a[..., cut:], b[..., cut:], splits - longer),
  ]
  d, sqr_sum = zip(*parts, strict=True)
  return jnp.concatenate(d), jnp.concatenate(sqr_sum)


def _of_equal_splits(
  a: jax.Array, b: jax.Array, splits: int
) -> tuple[jax.Array, jax.Array]:
  size = a.shape[-1] // max(splits, 1)
  a = jnp.moveaxis(a.reshape(*a.shape[:-1], splits, size), -2, 0)
  b = jnp.moveaxis(b.reshape(*b.shape[:-1], splits, size), -2, 0)
  # The default precision of a GPU would round the operands to TF32.
  d = jnp.matmul(a, jnp.swapaxes(b, -1, -2), precision=lax.Precision.HIGHEST)
  return d, jnp.sum(a * a, axis=-1)
