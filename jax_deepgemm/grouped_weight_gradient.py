"""The gradient of the weights of an m-grouped GEMM: a GEMM grouped along k."""

import jax
import jax.numpy as jnp

from jax_deepgemm.k_grouped_gemm import fp8_product
from jax_deepgemm.k_grouped_packing import GroupRanges
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.k_grouped_gemm import k_grouped_bf16_gemm
from jax_deepgemm.primitives.varying import to_common_varying


def fp8_weight_gradient(
  dy: jax.Array,
  a: jax.Array,
  group_sizes: jax.Array,
  dtype: jax.typing.DTypeLike,
  options: Options,
) -> jax.Array:
  """Returns dB[g] = sum over rows i of group g of dy[i].T a[i].

  Both are cast to fp8 with one scale per column and 128 rows, counted from the
  first row of each group. Rows past the last group are never read, so they may
  hold anything.

  Args:
    dy: `[m, n]`, groups of rows one after the other.
    a: `[m, k]`, likewise.
    group_sizes: `[g]` int32.
    dtype: of the result; sums are float32.
    options: of the forward pass.

  Returns:
    `[g, n, k]`.
  """
  return fp8_product(dy, a, group_sizes, options).astype(dtype)


def bf16_weight_gradient(
  dy: jax.Array,
  a: jax.Array,
  ranges: GroupRanges,
  dtype: jax.typing.DTypeLike,
  options: Options,
) -> jax.Array:
  """Returns the same of bfloat16, of groups that begin at any row.

  Args:
    dy: `[m, n]`; rows of no group may hold anything.
    a: `[m, k]`, likewise.
    ranges: the rows of each group.
    dtype: of the result; sums are float32.
    options: of the forward pass.
  """
  return k_grouped_bf16_gemm(dy, a, *ranges, options=options).astype(dtype)


def rows_by_group(
  group_of_row: jax.Array, num_groups: int, *arrays: jax.Array
) -> tuple[jax.Array, ...]:
  """Returns how many rows each group has, and the arrays in groups' order.

  Args:
    group_of_row: `[m]` int32, -1 for none: those rows go last.
    num_groups: g.
    *arrays: `[m, ...]` each.
  """
  sort_key = jnp.where(group_of_row < 0, num_groups, group_of_row)
  # argsort forgets over which mesh axes its operand varies in shard_map.
  order, _ = to_common_varying((jnp.argsort(sort_key, stable=True), sort_key))
  groups = jnp.arange(num_groups, dtype=jnp.int32)[:, None]
  sizes = jnp.sum(group_of_row == groups, axis=1, dtype=jnp.int32)
  return sizes, *(jnp.take(x, order, axis=0) for x in arrays)
