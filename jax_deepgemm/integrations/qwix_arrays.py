"""Pairs of values and scales as qwix has them, and back."""

from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.array_checks import (
  check_dtype,
  check_rank_at_least,
  check_shape,
)
from jax_deepgemm.integrations.requirement import require
from jax_deepgemm.recipes import LEGAL
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.ue8m0 import unpack_ue8m0_from_int

qwix = require("qwix", 'pip install "jax_deepgemm[qwix]"')

Tile = tuple[int, int]

# As scales lie: k comes last, or, in nn and tn operands, first.
_TILES = (*LEGAL, *(tile[::-1] for tile in LEGAL if tile[0] != tile[1]))


def to_qarray(scaled: ScaledArray, tile: Tile = (1, 128)) -> Any:
  """Returns the `qwix.QArray` of the same values and scales.

  It is what `qwix.quantize` returns for tiled_axes = {last: tile[1], last but
  one: tile[0]} and channelwise axes in front, and dequantises to the same
  numbers. No value is copied.

  Args:
    scaled: float8_e4m3fn values `[..., r, c]`, and float32 scales, one for each
      tile; or int32, UE8M0 packed along the last axis.
    tile: (rows, columns) of the values that share a scale, as they lie: the
      recipe of an `[m, k]` operand, or the reverse of that of a `[k, m]` one.

  Raises:
    TypeError: a dtype is wrong.
    ValueError: scales do not fit, or a dimension is no multiple of its tile and
      larger: a QArray has no partial tiles.
  """
  values, scales = scaled
  check_dtype("values", values, jnp.float8_e4m3fn)
  check_rank_at_least("values", values, 2)
  check_dtype("scales", scales, jnp.float32, jnp.int32)
  tile = _checked_tile(tile)
  counts = _counts(values.shape, tile)
  for size, count, edge in zip(
    values.shape[-2:], counts[-2:], tile, strict=True
  ):
    if count > 1 and size % edge:
      raise ValueError(
        f"values: expected dimensions that are multiples of tile {tile}, which"
        f" a QArray needs, got shape {values.shape}; pad them"
      )
  if scales.dtype == jnp.int32:
    if tile[0] != 1 and tile[1] == 1:
      raise ValueError(
        f"scales: expected float32 for tile {tile}, got int32: unpack them with"
        " unpack_ue8m0_from_int"
      )
    scales = unpack_ue8m0_from_int(scales)[..., : counts[-1]]
  check_shape("scales", scales, counts)
  return qwix.QArray(qvalue=values, scale=scales)


def from_qarray(qarray: Any, tile: Tile | None = None) -> ScaledArray:
  """Returns the pair of values and float32 scales of a `qwix.QArray`.

  GEMMs take a QArray with float32 scales as it is. This converts scales of
  other dtypes, which is exact, and with `tile` repeats scales that cover more,
  of a whole row or array, say.

  Args:
    qarray: float8_e4m3fn values `[..., r, c]`, scales, no zero_point.
    tile: (rows, columns) that a scale is to cover; by default what it covers.

  Raises:
    TypeError: no QArray, or values are not float8_e4m3fn.
    ValueError: there is a zero_point, or scales do not fit the tile.
  """
  if not isinstance(qarray, qwix.QArray):
    raise TypeError(
      f"qarray: expected a qwix.QArray, got {type(qarray).__name__}"
    )
  check_dtype("qarray.qvalue", qarray.qvalue, jnp.float8_e4m3fn)
  check_rank_at_least("qarray.qvalue", qarray.qvalue, 2)
  if qarray.zero_point is not None:
    raise ValueError("qarray: expected no zero_point, got one")
  values, scales = qarray.qvalue, qarray.scale
  if tile is None:
    tile = _tile_of(values.shape, scales.shape)
  tile = _checked_tile(tile)
  counts = _counts(values.shape, tile)
  edges = (*(1 for _ in counts[:-2]), *tile)
  scales = scales.astype(jnp.float32)
  if scales.ndim != values.ndim:
    _refuse(values.shape, scales.shape, tile)
  for axis, (size, count, edge) in enumerate(
    zip(values.shape, counts, edges, strict=True)
  ):
    scales = _repeated(scales, axis, size, count, edge, tile)
  return ScaledArray(values, scales)


def _repeated(
  scales: jax.Array, axis: int, size: int, count: int, edge: int, tile: Tile
) -> jax.Array:
  """Returns scales with `count` along an axis of values of that size."""
  found = scales.shape[axis]
  if found == count and (count <= 1 or size == count * edge):
    return scales
  if found == 1:
    return jnp.repeat(scales, count, axis)
  if found == 0 or size % found or (size // found) % edge:
    raise ValueError(
      f"qarray.scale: expected scales of tiles of whole {tile}, got {found} for"
      f" {size} values along axis {axis}"
    )
  return jnp.repeat(scales, count // found, axis)


def _tile_of(values: tuple[int, ...], scales: tuple[int, ...]) -> Tile:
  """Returns the tile that the scales are for."""
  for tile in _TILES:
    counts = _counts(values, tile)
    is_whole = all(
      count <= 1 or size == count * edge
      for size, count, edge in zip(values[-2:], counts[-2:], tile, strict=True)
    )
    if is_whole and counts[-2:] == scales[-2:]:
      return tile
  _refuse(values, scales, None)


def _refuse(
  values: tuple[int, ...], scales: tuple[int, ...], tile: Tile | None
) -> NoReturn:
  raise ValueError(
    f"qarray.scale: expected a scale for each tile of {tile or _TILES}, got"
    f" shape {scales} for values of shape {values}; give the tile that scales"
    " of larger ones are to be repeated for"
  )


def _counts(shape: tuple[int, ...], tile: Tile) -> tuple[int, ...]:
  rows, columns = shape[-2:]
  return (*shape[:-2], ceil_div(rows, tile[0]), ceil_div(columns, tile[1]))


def _checked_tile(tile: Any) -> Tile:
  if tile not in _TILES:
    raise ValueError(f"tile: expected one of {_TILES}, got {tile!r}")
  return tile
