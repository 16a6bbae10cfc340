"""The gradient of the weights of an m-grouped GEMM: a GEMM grouped along k."""

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.primitives.row_tiles import RowTiles
from jax_deepgemm.quantize import per_channel_cast_to_fp8

_BLOCK = 128


def weight_gradient(
  dy: jax.Array,
  a: jax.Array,
  group_of_row: jax.Array,
  num_groups: int,
  dtype: jax.typing.DTypeLike,
  quantize: bool,
) -> jax.Array:
  """Returns dB[g] = sum over rows i of group g of dy[i].T a[i], in jax.numpy.

  With `quantize` both are cast to fp8 with one scale per column and 128 rows,
  counted from the first row of each group. Rows that belong to no group are
  never read, so they may hold anything.

  Args:
    dy: `[m, n]`.
    a: `[m, k]`.
    group_of_row: `[m]` int32, -1 for none.
    num_groups: g.
    dtype: of the result; sums are float32.
    quantize: multiply in fp8, else in bfloat16.

  Returns:
    `[g, n, k]`.
  """

  def step(group: jax.Array, rows: jax.Array, total: jax.Array) -> jax.Array:
    dy_tile, a_tile = (
      x.at[rows].get(mode="fill", fill_value=0) for x in (dy, a)
    )
    multiply = _quantized_product if quantize else _product
    return total.at[group].add(multiply(dy_tile, a_tile))

  zeros = jnp.zeros((num_groups, dy.shape[1], a.shape[1]), jnp.float32)
  tiles = RowTiles.of(group_of_row, num_groups, _BLOCK)
  return tiles.fold(step, zeros).astype(dtype)


def _quantized_product(x: jax.Array, y: jax.Array) -> jax.Array:
  """Returns x.T @ y of one block of rows that shares its scales."""
  x_values, x_scales = per_channel_cast_to_fp8(x, gran_k=_BLOCK)
  y_values, y_scales = per_channel_cast_to_fp8(y, gran_k=_BLOCK)
  codes = (x_values.astype(jnp.float32), y_values.astype(jnp.float32))
  # The default precision of a GPU would round these operands to TF32.
  return _product(*codes, lax.Precision.HIGHEST) * x_scales.T * y_scales


def _product(
  x: jax.Array, y: jax.Array, precision: lax.Precision | None = None
) -> jax.Array:
  return lax.dot_general(
    x,
    y,
    (((0,), (0,)), ((), ())),
    precision=precision,
    preferred_element_type=jnp.float32,
  )
