"""Rows of several arrays as bytes side by side: one collective moves them."""

import math
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align

# A multiple of this many bytes is copied with wide accesses.
_ROW_ALIGNMENT = 16


def pack(arrays: Sequence[jax.Array]) -> jax.Array:
  """Returns uint8 `[n, width]`: the bytes of each row, then zeros to 16.

  Args:
    arrays: `[n, ...]` each, of any dtypes.
  """
  parts = [_bytes(x) for x in arrays]
  used = sum(part.shape[1] for part in parts)
  padding = (parts[0].shape[0], align(used, _ROW_ALIGNMENT) - used)
  return jnp.concatenate([*parts, jnp.zeros(padding, jnp.uint8)], axis=1)


def unpack(
  rows: jax.Array, like: Iterable[jax.ShapeDtypeStruct]
) -> list[jax.Array]:
  """Returns the arrays that `pack` was given.

  Args:
    rows: from `pack`, any number of them.
    like: of the arrays, shapes without the first dimension.
  """
  arrays, first = [], 0
  for struct in like:
    width = math.prod(struct.shape) * struct.dtype.itemsize
    part = rows[:, first : first + width]
    arrays.append(_of_bytes(part, struct))
    first += width
  return arrays


def row_of(x: jax.Array) -> jax.ShapeDtypeStruct:
  """Returns the shape and dtype of a row of x."""
  return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)


def _bytes(x: jax.Array) -> jax.Array:
  width = math.prod(x.shape[1:]) * x.dtype.itemsize
  return jax.lax.bitcast_convert_type(x, jnp.uint8).reshape(x.shape[0], width)


def _of_bytes(part: jax.Array, struct: jax.ShapeDtypeStruct) -> jax.Array:
  size = struct.dtype.itemsize
  shape = (part.shape[0], *struct.shape)
  if size == 1:
    return jax.lax.bitcast_convert_type(part.reshape(shape), struct.dtype)
  return jax.lax.bitcast_convert_type(part.reshape(*shape, size), struct.dtype)
