"""What the casts compute, in jax.numpy: the oracle, and the CPU path."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.block_scale import (
  merge_blocks,
  pack_scales,
  scale_of_blocks,
  split_into_blocks,
)
from jax_deepgemm.layout import get_mn_major_tma_aligned_tensor
from jax_deepgemm.primitives import fp4_codes
from jax_deepgemm.primitives.cast_form import BLOCK, CastForm, padded_k
from jax_deepgemm.primitives.produced import produce

_LARGEST_E4M3FN = 448


def cast(*operands: jax.Array, form: CastForm) -> list[jax.Array]:
  """Returns values and scales as `form` says."""
  sources, sizes = form.split(operands)
  x = produce(form.source, *sources)
  match form.kind:
    case "rows" if form.fp4:
      return _fp4_rows(x, form)
    case "rows":
      return _rows(x, form)
    case "columns":
      return list(cast_blocks(x, form.gran, 1, form.use_ue8m0))
    case "blocks":
      return list(cast_blocks(x, form.gran, form.gran, form.use_ue8m0))
    case "blocks_both":
      values, scales = cast_blocks(x, form.gran, form.gran, form.use_ue8m0)
      return [values, scales, jnp.swapaxes(values, -1, -2)]
    case "transposed":
      return _transposed(x, form)
    case "both":
      return _rows(x, form) + _transposed(x, form)
    case "grouped":
      return _grouped(x, *sizes, form)
    case "live_rows":
      return _rows_of_groups(x, *sizes, form)
    case "live_values":
      return [_live(x, *sizes).astype(jnp.bfloat16)]
    case _:
      return _rows_of_groups(x, *sizes, form) + _grouped(x, *sizes, form)


def cast_blocks(
  x: jax.Array, gran_m: int, gran_n: int, use_ue8m0: bool
) -> tuple[jax.Array, jax.Array]:
  """Returns `[..., m, n]` codes and one scale per gran_m x gran_n block."""
  blocks = split_into_blocks(x, gran_m, gran_n).astype(jnp.float32)
  scales = scale_of_blocks(blocks, (-3, -1), _LARGEST_E4M3FN, use_ue8m0)
  values = merge_blocks(_encode(blocks, scales), *x.shape[-2:])
  return values, jnp.squeeze(scales, (-3, -1))


def cast_sharing(
  x: jax.Array, shared: tuple[int, ...], use_ue8m0: bool
) -> tuple[jax.Array, jax.Array]:
  """Returns codes of the shape of x and scales without the `shared` axes."""
  x = x.astype(jnp.float32)
  scales = scale_of_blocks(x, shared, _LARGEST_E4M3FN, use_ue8m0)
  return _encode(x, scales), jnp.squeeze(scales, shared)


def _encode(x: jax.Array, scales: jax.Array) -> jax.Array:
  return (x * (np.float32(1) / scales)).astype(jnp.float8_e4m3fn)


def _rows(x: jax.Array, form: CastForm) -> list[jax.Array]:
  values, scales = cast_blocks(x, 1, form.gran, form.use_ue8m0)
  if form.mn_major or form.kind != "rows":
    scales = get_mn_major_tma_aligned_tensor(scales)
  return [values, scales]


def _fp4_rows(x: jax.Array, form: CastForm) -> list[jax.Array]:
  blocks = split_into_blocks(x, 1, form.gran).astype(jnp.float32)
  largest = fp4_codes.LARGEST_E2M1
  scales = scale_of_blocks(blocks, (-3, -1), largest, form.use_ue8m0)
  codes = fp4_codes.encode(blocks * (np.float32(1) / scales))
  values = fp4_codes.pack(merge_blocks(codes, *x.shape[-2:]))
  scales = jnp.squeeze(scales, (-3, -1))
  return [values, pack_scales(scales) if form.packed else scales]


def _transposed(x: jax.Array, form: CastForm) -> list[jax.Array]:
  values, scales = cast_blocks(x, form.gran, 1, form.use_ue8m0)
  missing = align(x.shape[-1], 4) - x.shape[-1]
  padding = [(0, 0)] * (x.ndim - 1) + [(0, missing)]
  return [jnp.swapaxes(values, -1, -2), jnp.pad(scales, padding)]


def _grouped(x: jax.Array, sizes: jax.Array, form: CastForm) -> list[jax.Array]:
  source = _source_rows(sizes, x.shape[0])
  is_live = source < x.shape[0]
  rows = x.at[source].get(mode="fill", fill_value=0)
  values, scales = _transposed(rows, form)
  live_blocks = jnp.any(is_live.reshape(-1, BLOCK), axis=1, keepdims=True)
  return [values, jnp.where(live_blocks, scales, np.float32(0))]


def _rows_of_groups(
  x: jax.Array, sizes: jax.Array, form: CastForm
) -> list[jax.Array]:
  """Returns what `_rows` does, zeros for rows of no group."""
  values, scales = _rows(_live(x, sizes), form)
  is_live = jnp.arange(scales.shape[1]) < _num_live(sizes, x.shape[0])
  return [values, jnp.where(is_live, scales, np.float32(0))]


def _live(x: jax.Array, sizes: jax.Array) -> jax.Array:
  """Returns x with zeros for rows of no group."""
  is_live = jnp.arange(x.shape[0])[:, None] < _num_live(sizes, x.shape[0])
  return jnp.where(is_live, x, jnp.zeros((), x.dtype))


def _num_live(sizes: jax.Array, rows: int) -> jax.Array | int:
  """Returns how many of the rows belong to groups."""
  return _ends(sizes, rows)[-1] if sizes.shape[0] else 0


def _source_rows(sizes: jax.Array, rows: int) -> jax.Array:
  """Returns the row of x behind each padded one, or `rows` where is none."""
  groups = sizes.shape[0]
  row = jnp.arange(padded_k(rows, groups), dtype=jnp.int32)
  if groups == 0:
    return jnp.full(row.shape, rows, jnp.int32)
  ends = _ends(sizes, rows)
  starts = jnp.concatenate([jnp.zeros_like(ends[:1]), ends[:-1]])
  padded_ends = jnp.cumsum(ceil_div(ends - starts, BLOCK) * BLOCK)
  group = jnp.searchsorted(padded_ends, row, side="right", method="compare_all")
  group = jnp.minimum(group, groups - 1)
  padded_starts = jnp.concatenate(
    [jnp.zeros_like(padded_ends[:1]), padded_ends[:-1]]
  )
  found = starts[group] + row - padded_starts[group]
  return jnp.where(found < ends[group], found, rows)


def _ends(sizes: jax.Array, rows: int) -> jax.Array:
  """Returns where groups of these sizes end.

  Negative sizes count as 0, and what reaches past the last row is cut.
  """
  sizes = jnp.clip(sizes, 0, rows)
  # Sums that stay at `rows` once they reach it cannot overflow.
  return jax.lax.associative_scan(lambda a, b: jnp.minimum(a + b, rows), sizes)
