"""The packed layout of scale factors whose K dimension is cut into groups."""

from functools import partial

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.array_checks import check_dtype, check_positive
from jax_deepgemm.ue8m0 import pack_ue8m0_to_int

_BYTES_PER_INT = 4


def get_k_grouped_mn_major_tma_aligned_packed_ue8m0_tensor(
  sf: jax.Array,
  grouped_layout: jax.Array,
  gran_k: int = 128,
  *,
  k_alignment: int = 128,
  use_psum_layout: bool = False,
) -> jax.Array:
  """Returns the exponents of sf, four rows of one group to an int32 row.

  Group i has k_i columns of the operand and so r_i = ceil(k_i / gran_k) rows of
  sf; groups lie one after the other. Its ceil(r_i / 4) rows of the result
  follow those of the groups before it: with R_i = sum_{h<i} r_h and
  P_i = sum_{h<i} ceil(r_h / 4),

    byte j of y[P_i + p, c] = exponent of sf[R_i + 4 p + j, c], 4 p + j < r_i.

  All other bytes are 0: past the end of a group or of sf, columns past mn, rows
  past the last group. What is no power of two becomes byte 255.

  Args:
    sf: `[rows, mn]` float32 powers of two; rows past the last group may hold
      anything.
    grouped_layout: `[g]` int32, on the device: k_i, or with use_psum_layout the
      end of group i along K, k_i = end_i - align(end_(i-1), k_alignment).
      Negative sizes count as 0.
    gran_k: columns of the operand that share a scale.
    k_alignment: alignment of the groups' starts with use_psum_layout.
    use_psum_layout: grouped_layout holds ends.

  Returns:
    `[(rows + 3 g) // 4, align(mn, 4)]` int32. Sizes are known on the device
    only; this many rows are enough for any of them.

  Raises:
    TypeError: sf is not float32, or grouped_layout no integer array.
    ValueError: a rank is wrong, gran_k < 1 or k_alignment < 1.
  """
  check_dtype("sf", sf, jnp.float32)
  check_dtype("grouped_layout", grouped_layout, jnp.int32, jnp.int64)
  check_positive("gran_k", gran_k)
  check_positive("k_alignment", k_alignment)
  if sf.ndim != 2 or grouped_layout.ndim != 1:
    raise ValueError(
      "sf, grouped_layout: expected shapes (rows, mn) and (g,), got "
      f"{sf.shape} and {grouped_layout.shape}"
    )
  alignment = k_alignment if use_psum_layout else None
  return _pack_groups(sf, grouped_layout, gran_k, alignment)


@partial(jax.jit, static_argnums=(2, 3))
def _pack_groups(
  sf: jax.Array, sizes: jax.Array, gran_k: int, psum_alignment: int | None
) -> jax.Array:
  """Returns the packed rows; with psum_alignment, sizes are ends."""
  rows, mn = sf.shape
  if psum_alignment is not None:
    sizes = sizes - align(jnp.pad(sizes, (1, 0))[:-1], psum_alignment)
  # At most `rows`, so that a wrong size overflows no sum below.
  group_rows = jnp.clip(ceil_div(sizes, gran_k), 0, rows)
  source = _source_rows(group_rows.astype(jnp.int32), rows)
  scales = sf.at[source].get(mode="fill", fill_value=0)
  packed = pack_ue8m0_to_int(jnp.swapaxes(scales, 1, 2))[..., 0]
  return jnp.pad(packed, [(0, 0), (0, align(mn, 4) - mn)])


def _source_rows(group_rows: jax.Array, rows: int) -> jax.Array:
  """Returns the rows of sf that each packed row reads, or `rows` for none.

  Args:
    group_rows: `[g]` int32, rows of sf in each group.
    rows: rows of sf.

  Returns:
    `[(rows + 3 g) // 4, 4]` int32. sum ceil(r_i / 4) <= (sum r_i + 3 g) / 4.
  """
  groups = group_rows.shape[0]
  packed_rows = ceil_div(group_rows, _BYTES_PER_INT)
  packed_ends = jnp.cumsum(packed_rows)
  bound = (rows + (_BYTES_PER_INT - 1) * groups) // _BYTES_PER_INT
  row = jnp.arange(bound, dtype=jnp.int32)
  # Comparing with all ends is one fusion; the default is a loop of kernels.
  group = jnp.searchsorted(packed_ends, row, side="right", method="compare_all")
  if groups == 0:
    return jnp.full((bound, _BYTES_PER_INT), rows, jnp.int32)
  # Past the last group, the last group's rows are exceeded as well.
  group = jnp.minimum(group, groups - 1)
  local = row - (packed_ends - packed_rows)[group]
  byte = jnp.arange(_BYTES_PER_INT, dtype=jnp.int32)
  row_in_group = _BYTES_PER_INT * local[:, None] + byte
  first_row = (jnp.cumsum(group_rows) - group_rows)[group]
  is_live = row_in_group < group_rows[group][:, None]
  return jnp.where(is_live, first_row[:, None] + row_in_group, rows)
