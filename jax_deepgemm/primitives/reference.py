"""What every kernel computes, in jax.numpy: the oracle, and the CPU path."""

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.alignment import align, ceil_div


def fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
) -> jax.Array:
  """Returns c + sum_k (a * sfa)[g, m, k] * (b * sfb)[g, n, k].

  Accumulated as the kernel does, one block of k that shares its scales at a
  time: products of two e4m3 codes have at most 8 significant bits and are
  summed unscaled, so within a block float32 rounds almost nothing, and the
  scales are applied to a sum instead of to every code. Dequantising first
  would round each element once more and need both operands in float32.

  Args:
    a: `[g, m, k]` float8_e4m3fn.
    sfa: `[g, ceil(m / gran_m), ceil(k / gran_k)]` float32.
    b: `[g, n, k]` float8_e4m3fn.
    sfb: `[g, ceil(n / gran_n), ceil(k / gran_k)]` float32.
    c: `[g, m, n]`, added before the only rounding to `out_dtype`.
    out_dtype: dtype of the result.
    recipe_a: (gran_m, gran_k) of `sfa`.
    recipe_b: (gran_n, gran_k) of `sfb`.

  Returns:
    `[g, m, n]` in `out_dtype`, for g, m, n, k > 0.
  """
  block = min(recipe_a[1], recipe_b[1])
  a, b = _pad_k(a, block), _pad_k(b, block)

  def product(i: int | jax.Array) -> jax.Array:
    return _block_product(
      _k_block(a, i, block),
      _scales_of_rows(sfa, i * block, recipe_a, a.shape[1]),
      _k_block(b, i, block),
      _scales_of_rows(sfb, i * block, recipe_b, b.shape[1]),
    )

  # Block 0 stands before the loop: its result has the type of the sum inside
  # shard_map too, which zeros would not have.
  total = lax.fori_loop(
    1, a.shape[2] // block, lambda i, total: total + product(i), product(0)
  )
  if c is not None:
    total = total + c.astype(jnp.float32)
  return total.astype(out_dtype)


def bf16_gemm(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike,
  a_mn_major: bool,
  b_mn_major: bool,
) -> jax.Array:
  """Returns c + sum_k a[g, m, k] * b[g, n, k], summed in float32.

  Args:
    a: `[g, m, k]` bfloat16, or `[g, k, m]` if `a_mn_major`.
    b: `[g, n, k]` bfloat16, or `[g, k, n]` if `b_mn_major`.
    c: `[g, m, n]`, added before the only rounding to `out_dtype`.
    out_dtype: dtype of the result.
    a_mn_major: how `a` lies.
    b_mn_major: how `b` lies.

  Returns:
    `[g, m, n]` in `out_dtype`, for g, m, n, k > 0.
  """
  contracted = (1 if a_mn_major else 2,), (1 if b_mn_major else 2,)
  total = lax.dot_general(
    a, b, (contracted, ((0,), (0,))), preferred_element_type=jnp.float32
  )
  if c is not None:
    total = total + c.astype(jnp.float32)
  return total.astype(out_dtype)


def dequantize(
  values: jax.Array, scales: jax.Array, recipe: tuple[int, int]
) -> jax.Array:
  """Returns values * scales, each scale spread over its block.

  Args:
    values: `[..., rows, k]` float8_e4m3fn.
    scales: `[..., ceil(rows / gran_mn), ceil(k / gran_k)]` float32.
    recipe: (gran_mn, gran_k).

  Returns:
    `[..., rows, k]` float32.
  """
  rows, k = values.shape[-2:]
  spread = jnp.repeat(scales, recipe[0], axis=-2)[..., :rows, :]
  spread = jnp.repeat(spread, recipe[1], axis=-1)[..., :k]
  return values.astype(jnp.float32) * spread


def _pad_k(x: jax.Array, block: int) -> jax.Array:
  k = x.shape[2]
  return jnp.pad(x, ((0, 0), (0, 0), (0, align(k, block) - k)))


def _k_block(x: jax.Array, i: int | jax.Array, block: int) -> jax.Array:
  sliced = lax.dynamic_slice_in_dim(x, i * block, block, axis=2)
  return sliced.astype(jnp.float32)


def _scales_of_rows(
  scales: jax.Array,
  k: int | jax.Array,
  recipe: tuple[int, int],
  rows: int,
) -> jax.Array:
  """Returns `[g, rows]`: the scale that holds for each row at column k."""
  column = lax.dynamic_index_in_dim(
    scales, k // recipe[1], axis=2, keepdims=False
  )
  assert scales.shape[1] == ceil_div(rows, recipe[0])
  return jnp.repeat(column, recipe[0], axis=1)[:, :rows]


def _block_product(
  a: jax.Array, sfa: jax.Array, b: jax.Array, sfb: jax.Array
) -> jax.Array:
  # The default precision of a GPU would round these operands to TF32.
  product = lax.dot_general(
    a,
    b,
    (((2,), (2,)), ((0,), (0,))),
    precision=lax.Precision.HIGHEST,
    preferred_element_type=jnp.float32,
  )
  return product * sfa[:, :, None] * sfb[:, None, :]
