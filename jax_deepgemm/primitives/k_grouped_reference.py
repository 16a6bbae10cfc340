"""What the K-grouped kernels compute, in jax.numpy, over their own layouts."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.primitives.varying import to_common_varying

_BLOCK_K = 128


def k_grouped_fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: np.dtype,
) -> jax.Array:
  """Returns c_g + dequantize(a_g) @ dequantize(b_g).T in `out_dtype`.

  Summed as the kernel does, one block of 128 at a time, unscaled within it.
  Blocks that are in no group are not read.

  Args:
    a: `[m, k_padded]` float8_e4m3fn, groups from multiples of 128 on.
    sfa: `[k_padded / 128, align(m, 4)]` float32.
    b: `[n, k_padded]` float8_e4m3fn.
    sfb: `[k_padded / 128, align(n, 4)]` float32.
    group_sizes: `[g]` int32, elements of K in each group.
    c: `[g, m, n]` float32 or None.
    out_dtype: of the result; sums are float32.
  """
  m, n = a.shape[0], b.shape[0]
  (num_groups,) = group_sizes.shape
  num_blocks = a.shape[1] // _BLOCK_K
  sizes = jnp.clip(ceil_div(group_sizes, _BLOCK_K), 0, num_blocks)
  ends = jnp.cumsum(sizes)
  zeros = jnp.zeros((num_groups, m, n), jnp.float32)
  total, *_ = to_common_varying((zeros, a, sfa, b, sfb, group_sizes))

  def add(i: jax.Array, total: jax.Array) -> jax.Array:
    product = _block_product(_k_block(a, i), _k_block(b, i))
    product *= sfa[i, :m][:, None] * sfb[i, :n][None, :]
    group = jnp.searchsorted(ends, i, side="right", method="compare_all")
    return total.at[group].add(product, mode="drop")

  count = jnp.minimum(ends[-1], num_blocks)
  total = lax.fori_loop(0, count, add, total)
  return (total if c is None else c + total).astype(out_dtype)


def k_grouped_bf16_gemm(
  a: jax.Array,
  b: jax.Array,
  group_starts: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: np.dtype,
) -> jax.Array:
  """Returns c_g + a_g.T @ b_g in `out_dtype`, as XLA's ragged dot.

  Args:
    a: `[k, m]` bfloat16; rows of no group may hold anything.
    b: `[k, n]` bfloat16.
    group_starts: `[g]` int32, first row of each group; they ascend.
    group_sizes: `[g]` int32, rows of each group.
    c: `[g, m, n]` float32 or None.
    out_dtype: of the result; sums are float32.
  """
  dimensions = lax.RaggedDotDimensionNumbers(
    dot_dimension_numbers=(((0,), (0,)), ((), ())),
    lhs_ragged_dimensions=[0],
    rhs_group_dimensions=[],
  )
  ends = group_starts + group_sizes
  row = jnp.arange(a.shape[0], dtype=jnp.int32)[:, None]
  is_live = jnp.any((row >= group_starts) & (row < ends), axis=1)[:, None]
  # Rows between groups are zeros of the group before them, for a ragged dot
  # knows no gaps.
  bounds = jnp.append(jnp.pad(group_starts[1:], (1, 0)), ends[-1:])
  d = lax.ragged_dot_general(
    jnp.where(is_live, a, 0),
    jnp.where(is_live, b, 0),
    jnp.diff(bounds),
    dimensions,
    preferred_element_type=jnp.float32,
  )
  return (d if c is None else c + d).astype(out_dtype)


def _k_block(x: jax.Array, i: jax.Array) -> jax.Array:
  sliced = lax.dynamic_slice_in_dim(x, i * _BLOCK_K, _BLOCK_K, axis=1)
  return sliced.astype(jnp.float32)


def _block_product(a: jax.Array, b: jax.Array) -> jax.Array:
  # The default precision of a GPU would round these operands to TF32.
  return lax.dot_general(
    a, b, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST
  )
