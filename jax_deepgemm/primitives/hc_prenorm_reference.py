"""A product with the sums of squares of its rows, in jax.numpy."""

import itertools

import jax
import jax.numpy as jnp
from jax import lax

_BLOCK_K = 64  # What K is cut in where it is split.

Pair = tuple[jax.Array, jax.Array]


def hc_prenorm_gemm(
  a: jax.Array, b: jax.Array, *, num_splits: int | None
) -> Pair:
  """Returns sum_k a b and sum_k a^2 of each split of K, in float32.

  Args:
    a: bfloat16 `[..., m, k]`.
    b: float32 `[..., n, k]`.
    num_splits: how many splits; None is one.

  Returns:
    `[num_splits, ..., m, n]` and `[num_splits, ..., m]`.
  """
  d, sqr_sum = [], []
  for part in _splits(a.shape[-1], num_splits):
    x = a[..., part].astype(jnp.float32)
    d.append(_product(x, b[..., part].mT))
    sqr_sum.append(jnp.sum(x * x, axis=-1))
  return jnp.stack(d), jnp.stack(sqr_sum)


def gradients(
  a: jax.Array,
  b: jax.Array,
  dd: jax.Array,
  dsqr_sum: jax.Array,
  *,
  num_splits: int | None,
) -> Pair:
  """Returns da = dd @ b + 2 a dsqr_sum and db = dd.T @ a, split by split.

  Args:
    a: bfloat16 `[m, k]`.
    b: float32 `[n, k]`.
    dd: float32 `[num_splits, m, n]`.
    dsqr_sum: float32 `[num_splits, m]`.
    num_splits: as in `hc_prenorm_gemm`.

  Returns:
    da, summed in float32 and rounded to bfloat16 once, and db in float32.
  """
  da, db = [], []
  for part, d, s in zip(
    _splits(a.shape[1], num_splits), dd, dsqr_sum, strict=True
  ):
    x, y = a[:, part], b[:, part]
    of_squares = 2 * s[:, None] * x.astype(jnp.float32)
    da.append((_product(d, y) + of_squares).astype(a.dtype))
    db.append(_product_of_bfloat16(d, x))
  return jnp.concatenate(da, axis=1), jnp.concatenate(db, axis=1)


def _splits(k: int, num_splits: int | None) -> list[slice]:
  """Returns the columns of each split, of blocks in a row.

  Split s of S has floor(blocks / S), and one more if s < blocks mod S.
  """
  count = 1 if num_splits is None else num_splits
  size, longer = divmod(-(-k // _BLOCK_K), count)
  ends = [s * size + min(s, longer) for s in range(count + 1)]
  columns = [min(end * _BLOCK_K, k) for end in ends]
  return [slice(*pair) for pair in itertools.pairwise(columns)]


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
  # The default precision of a GPU would round the operands to TF32.
  return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def _product_of_bfloat16(x: jax.Array, y: jax.Array) -> jax.Array:
  """Returns x.T @ y of x float32 and y bfloat16, in float32.

  y would be copied to float32, twice its size, for such a product of XLA. x,
  which has few columns, becomes three times as many of bfloat16 instead.
  """
  parts = []
  for _ in range(3):
    # Unlike a cast there and back, XLA keeps this rounding.
    part = lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    parts.append(part.astype(jnp.bfloat16))
    x = jnp.where(jnp.isfinite(part), x - part, 0)
  products = lax.dot_general(
    jnp.concatenate(parts, axis=1),
    y,
    (((0,), (0,)), ((), ())),
    preferred_element_type=jnp.float32,
  )
  return products.reshape(3, x.shape[1], y.shape[1]).sum(axis=0)
