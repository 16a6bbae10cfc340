"""The gradient of the weights of an m-grouped GEMM: a GEMM grouped along k."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.k_grouped_gemm import cast_groups, fp8_product
from jax_deepgemm.k_grouped_packing import GroupRanges, group_ranges
from jax_deepgemm.main_gradient import accumulated
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.k_grouped_gemm import k_grouped_bf16_gemm
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.scaled_array import ScaledArray


def fp8_weight_gradient(
  dy: jax.Array | ScaledArray,
  a: jax.Array | ScaledArray,
  group_sizes: jax.Array,
  dtype: jax.typing.DTypeLike,
  options: Options,
  main_grad: jax.Array | None = None,
) -> jax.Array:
  """Returns dB[g] = sum over rows i of group g of dy[i].T a[i].

  Both are cast to fp8 with one scale per column and 128 rows, counted from the
  first row of each group. Rows past the last group are never read, so they may
  hold anything.

  Args:
    dy: `[m, n]`, groups of rows one after the other.
    a: `[m, k]`, likewise; one of the two may come from `packed_by_group`.
    group_sizes: `[g]` integers.
    dtype: of the result; sums are float32.
    options: of the forward pass.
    main_grad: `[g, n, k]` float32, or None; added to dB (main_gradient.py).

  Returns:
    `[g, n, k]`.
  """
  num_rows = next(x.shape[0] for x in (dy, a) if not isinstance(x, ScaledArray))
  ranges = group_ranges(group_sizes, num_rows, False)

  def product(operands: Any, c: jax.Array | None, dtype: Any) -> jax.Array:
    dy, a, ranges = operands
    return fp8_product(dy, a, ranges, c, dtype, options)

  return accumulated(product, (dy, a, ranges), main_grad, dtype)


def packed_by_group(
  x: jax.Array, group_sizes: jax.Array, options: Options
) -> ScaledArray:
  """Returns what `fp8_weight_gradient` casts x to."""
  return cast_groups(x, group_ranges(group_sizes, x.shape[0], False), options)


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
  return k_grouped_bf16_gemm(dy, a, *ranges, out_dtype=dtype, options=options)


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
