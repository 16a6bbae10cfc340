"""What the m-grouped kernels compute, in jax.numpy: oracle, and CPU path.

Rows are sorted by group and multiplied tile by tile with the B of their group:
about m * n * k products whatever the number of groups, one B at a time, and
never a copy of B per row.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.primitives import fp4_reference, reference
from jax_deepgemm.primitives.grouped_layout import Layout, group_of_rows
from jax_deepgemm.primitives.row_tiles import RowTiles

_LARGEST_TILE = 128
_SMALLEST_TILE = 8


def m_grouped_fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  *,
  layout: Layout,
  alignment: int,
  out_dtype: jax.typing.DTypeLike,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
) -> jax.Array:
  """Returns (a * sfa)[i] @ (b * sfb)[g].T in row i of group g, else zero.

  Sums are those of `reference.fp8_gemm`: float32, one block of k at a time.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked, float8_e4m3fn.
    sfa: `[(g,) ceil(m / gran_m), ceil(k / gran_k)]` float32.
    b: `[g, n, k]` float8_e4m3fn.
    sfb: `[g, ceil(n / gran_n), ceil(k / gran_k)]` float32.
    group_layout: int32, see `group_of_rows`.
    layout: how `group_layout` is to be read.
    alignment: row multiple that groups start at.
    out_dtype: dtype of the result.
    recipe_a: (gran_m, gran_k) of `sfa`.
    recipe_b: (gran_n, gran_k) of `sfb`.

  Returns:
    `[m, n]` or `[g, m, n]` in `out_dtype`, for sizes > 0.
  """
  # A tile may hold any rows, so each takes its own copy of its block's scale.
  row_scales = jnp.repeat(sfa, recipe_a[0], axis=-2)[..., : a.shape[-2], :]

  def product(rows: tuple[jax.Array, ...], group: jax.Array) -> jax.Array:
    values, scales = rows
    tile = reference.fp8_gemm(
      values[None],
      scales[None],
      b[group][None],
      sfb[group][None],
      out_dtype=out_dtype,
      recipe_a=(1, recipe_a[1]),
      recipe_b=recipe_b,
    )
    return tile[0]

  return _over_tiles(
    product,
    (a, row_scales),
    b.shape[:2],
    group_layout,
    layout,
    alignment,
    out_dtype,
  )


def m_grouped_fp8_fp4_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  *,
  layout: Layout,
  alignment: int,
  out_dtype: jax.typing.DTypeLike,
) -> jax.Array:
  """Returns (a * sfa)[i] @ (b * sfb)[g].T in row i of group g, else zero.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked, float8_e4m3fn.
    sfa: `[(g,) m, ceil(k / 128)]` float32.
    b: `[g, n, ceil(k / 2)]` int8.
    sfb: `[g, n, ceil(k / 128)]` int32.
    group_layout: int32, see `group_of_rows`.
    layout: how `group_layout` is to be read.
    alignment: row multiple that groups start at.
    out_dtype: dtype of the result; sums are those of `reference.fp8_gemm`.
  """

  def product(rows: tuple[jax.Array, ...], group: jax.Array) -> jax.Array:
    operands = (*rows, b[group], sfb[group])
    tile = fp4_reference.fp8_fp4_gemm(
      *(x[None] for x in operands), out_dtype=out_dtype
    )
    return tile[0]

  return _over_tiles(
    product,
    (a, sfa),
    b.shape[:2],
    group_layout,
    layout,
    alignment,
    out_dtype,
  )


def m_grouped_bf16_gemm(
  a: jax.Array,
  b: jax.Array,
  group_layout: jax.Array,
  *,
  layout: Layout,
  alignment: int,
  out_dtype: jax.typing.DTypeLike,
  b_mn_major: bool = False,
) -> jax.Array:
  """Returns a[i] @ b[g].T in row i of group g, else zero.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked, bfloat16.
    b: `[g, n, k]` bfloat16, or `[g, k, n]` if `b_mn_major`.
    group_layout: int32, see `group_of_rows`.
    layout: how `group_layout` is to be read.
    alignment: row multiple that groups start at.
    out_dtype: dtype of the result; sums are float32.
    b_mn_major: how `b` lies.
  """
  k_axis = 0 if b_mn_major else 1

  def product(rows: tuple[jax.Array, ...], group: jax.Array) -> jax.Array:
    total = lax.dot_general(
      rows[0],
      b[group],
      (((1,), (k_axis,)), ((), ())),
      preferred_element_type=jnp.float32,
    )
    return total.astype(out_dtype)

  b_shape = (b.shape[0], b.shape[2 - k_axis])
  return _over_tiles(
    product, (a,), b_shape, group_layout, layout, alignment, out_dtype
  )


def _over_tiles(
  product: Callable[[tuple[jax.Array, ...], jax.Array], jax.Array],
  row_operands: tuple[jax.Array, ...],
  groups_and_n: tuple[int, int],
  group_layout: jax.Array,
  layout: Layout,
  alignment: int,
  out_dtype: jax.typing.DTypeLike,
) -> jax.Array:
  """Returns the rows that `product` computes, tile by tile; others are zero."""
  rows_shape = row_operands[0].shape[:-1]
  flat = [x.reshape(-1, x.shape[-1]) for x in row_operands]
  num_groups, n = groups_and_n
  num_rows = flat[0].shape[0]
  group_of_row = group_of_rows(
    group_layout,
    layout=layout,
    alignment=alignment,
    num_groups=num_groups,
    num_rows=num_rows,
  )
  # As large as the groups are on average: a tile is computed whole.
  tile_rows = ceil_div(num_rows, num_groups)
  tile_rows = min(max(tile_rows, _SMALLEST_TILE), _LARGEST_TILE)

  def step(group: jax.Array, rows: jax.Array, d: jax.Array) -> jax.Array:
    gathered = tuple(x.at[rows].get(mode="clip") for x in flat)
    return d.at[rows].set(product(gathered, group), mode="drop")

  tiles = RowTiles.of(group_of_row, num_groups, tile_rows)
  d = tiles.fold(step, jnp.zeros((num_rows, n), out_dtype))
  return d.reshape(*rows_shape, n)
