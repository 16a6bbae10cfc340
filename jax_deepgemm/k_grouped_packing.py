"""Operands of K-grouped GEMMs in the layout that the kernels read.

Values `[rows, k_padded]` with all groups side by side along K, each from a
multiple of 128 on and followed by zeros; scales `[k_padded / 128, align(rows,
4)]`, a row for each block of 128. One array of this form holds all groups
whatever their sizes are, so sizes may live on the device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align, ceil_div, get_tma_aligned_size
from jax_deepgemm.quantize import per_channel_cast_to_fp8
from jax_deepgemm.scaled_array import ScaledArray

BLOCK_K = 128


class GroupRanges(NamedTuple):
  """Where groups lie along K: `[g]` int32, all within the array.

  Attributes:
    starts: first element of each group.
    sizes: elements of each group.
  """

  starts: jax.Array
  sizes: jax.Array


def group_ranges(
  group_sizes: jax.Array, sum_k: int, use_psum_layout: bool
) -> GroupRanges:
  """Returns the groups that group_sizes stands for, cut to sum_k elements.

  Args:
    group_sizes: `[g]` integers: sizes, or with use_psum_layout ends, where each
      group starts at the first multiple of 128 after the end before.
    sum_k: elements of K in the operand. Negative sizes count as 0, what lies
      past sum_k is left out.
    use_psum_layout: group_sizes holds ends.
  """
  clipped = jnp.clip(group_sizes, 0, sum_k).astype(jnp.int32)
  if use_psum_layout:
    ends = jax.lax.cummax(clipped)
    starts = jnp.minimum(align(_shifted(ends), BLOCK_K), ends)
    return GroupRanges(starts, ends - starts)
  # Sums that overflow are negative; they too end up in the array.
  ends = jax.lax.cummax(jnp.clip(jnp.cumsum(clipped), 0, sum_k))
  starts = _shifted(ends)
  return GroupRanges(starts, ends - starts)


def padded_k(sum_k: int, num_groups: int) -> int:
  """Returns k_padded: enough for groups of any sizes that sum to sum_k."""
  return align(sum_k, BLOCK_K) + BLOCK_K * num_groups


def packed_sources(ranges: GroupRanges, sum_k: int) -> jax.Array:
  """Returns `[k_padded]`: which element of K each packed one is, or sum_k."""
  num_blocks = padded_k(sum_k, ranges.sizes.shape[0]) // BLOCK_K
  blocks = ceil_div(ranges.sizes, BLOCK_K)
  group, block_in_group = _place_of_blocks(blocks, num_blocks)
  element = jnp.arange(BLOCK_K, dtype=jnp.int32)
  local = block_in_group[:, None] * BLOCK_K + element
  is_live = local < ranges.sizes[group][:, None]
  source = jnp.where(is_live, ranges.starts[group][:, None] + local, sum_k)
  return source.reshape(-1)


def pack_values(
  values: jax.Array, sources: jax.Array, k_axis: int
) -> jax.Array:
  """Returns `[rows, k_padded]`, zeros between groups, of a matrix.

  Args:
    values: `[sum_k, rows]` with k_axis 0, `[rows, sum_k]` with 1.
    sources: from `packed_sources`.
    k_axis: the axis of values that is K.
  """
  # As bytes: not every backend gathers e4m3.
  is_fp8 = values.dtype == jnp.float8_e4m3fn
  x = jax.lax.bitcast_convert_type(values, jnp.uint8) if is_fp8 else values
  packed = jnp.take(x, sources, axis=k_axis, mode="fill", fill_value=0)
  packed = packed.T if k_axis == 0 else packed
  if is_fp8:
    return jax.lax.bitcast_convert_type(packed, jnp.float8_e4m3fn)
  return packed


def pack_flat_values(
  values: jax.Array, rows: int, ranges: GroupRanges, sum_k: int
) -> jax.Array:
  """Returns `[rows, k_padded]` of blocks `[rows, k_g]` one after the other.

  Args:
    values: `[rows * sum_k]`.
    rows: of each block.
    ranges: of the groups, not psum.
    sum_k: elements of K in all groups.
  """
  sources = packed_sources(ranges, sum_k)
  # The group of each packed element: the last that starts at or before it.
  group = jnp.searchsorted(
    ranges.starts + ranges.sizes, sources, side="right", method="compare_all"
  )
  group = jnp.minimum(group, ranges.sizes.shape[0] - 1)
  start, size = ranges.starts[group], ranges.sizes[group]
  row = jnp.arange(rows, dtype=jnp.int32)[:, None]
  flat = start * rows + row * size + (sources - start)
  flat = jnp.where(sources < sum_k, flat, rows * sum_k)
  x = jax.lax.bitcast_convert_type(values, jnp.uint8)
  packed = jnp.take(x, flat, mode="fill", fill_value=0)
  return jax.lax.bitcast_convert_type(packed, jnp.float8_e4m3fn)


def pack_scales(
  scales: jax.Array, ranges: GroupRanges, sum_k: int
) -> jax.Array:
  """Returns `[k_padded / 128, align(rows, 4)]`, zeros past the last group.

  Args:
    scales: `[blocks, rows]`, ceil(k_g / 128) rows of each group one after the
      other: the order of the packed blocks. Missing ones count as 0.
    ranges: of the groups.
    sum_k: elements of K in the operand.
  """
  num_blocks = padded_k(sum_k, ranges.sizes.shape[0]) // BLOCK_K
  count = jnp.sum(ceil_div(ranges.sizes, BLOCK_K))
  given, rows = scales.shape
  scales = scales[:num_blocks]
  is_live = jnp.arange(scales.shape[0], dtype=jnp.int32) < count
  scales = jnp.where(is_live[:, None], scales, 0)
  return jnp.pad(
    scales,
    (
      (0, max(num_blocks - given, 0)),
      (0, get_tma_aligned_size(rows, 4) - rows),
    ),
  )


def pack_quantized(
  x: jax.Array, sources: jax.Array, k_axis: int
) -> ScaledArray:
  """Returns a plain matrix, quantised per row and 128 of K, and packed.

  Args:
    x: `[sum_k, rows]` with k_axis 0, `[rows, sum_k]` with 1.
    sources: from `packed_sources`.
    k_axis: the axis of x that is K.
  """
  values, scales = per_channel_cast_to_fp8(pack_values(x, sources, k_axis).T)
  rows = scales.shape[1]
  padding = ((0, 0), (0, get_tma_aligned_size(rows, 4) - rows))
  return ScaledArray(values.T, jnp.pad(scales, padding))


def _place_of_blocks(
  blocks: jax.Array, num_blocks: int
) -> tuple[jax.Array, jax.Array]:
  """Returns group and place in it of each packed block.

  Past the last group, the place in the last one is past its end.
  """
  ends = jnp.cumsum(blocks)
  block = jnp.arange(num_blocks, dtype=jnp.int32)
  # Comparing with all ends is one fusion; the default is a loop of kernels.
  group = jnp.searchsorted(ends, block, side="right", method="compare_all")
  group = jnp.minimum(group, blocks.shape[0] - 1)
  return group, block - (ends - blocks)[group]


def _shifted(ends: jax.Array) -> jax.Array:
  """Returns the end before each group."""
  return jnp.pad(ends, (1, 0))[:-1]
