"""Rows that begin where TMA can begin one, and results without such padding.

What is here is called where a Hopper kernel is launched, and nowhere else.
"""

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align
from jax_deepgemm.heuristics.sm90_copy_rows import (
  is_copyable,
  is_worth_a_launch,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_copy_rows


def pad_last(x: jax.Array, multiple: int, options: Options) -> jax.Array:
  """Returns x with zeros behind its last dimension, up to a multiple."""
  columns = align(x.shape[-1], multiple)
  if columns == x.shape[-1]:
    return x
  if _is_for_the_kernel([x], [columns]):
    return sm90_copy_rows.run([x], [columns], options=options)[0]
  missing = columns - x.shape[-1]
  return jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),))


def pad_both(
  x: jax.Array, y: jax.Array, multiple: int, options: Options
) -> tuple[jax.Array, jax.Array]:
  """Returns what `pad_last` does of both, copied by one launch if need be."""
  arrays = (x, y)
  columns = [align(z.shape[-1], multiple) for z in arrays]
  both = all(n != z.shape[-1] for z, n in zip(arrays, columns, strict=True))
  if both and _is_for_the_kernel(arrays, columns):
    x, y = sm90_copy_rows.run(arrays, columns, options=options)
    return x, y
  return pad_last(x, multiple, options), pad_last(y, multiple, options)


def cut_last(x: jax.Array, columns: int, options: Options) -> jax.Array:
  """Returns x with no more than `columns` in its last dimension."""
  if columns == x.shape[-1]:
    return x
  if _is_for_the_kernel([x], [columns]):
    return sm90_copy_rows.run([x], [columns], options=options)[0]
  return x[..., :columns]


def _is_for_the_kernel(
  arrays: list[jax.Array] | tuple[jax.Array, ...], columns: list[int]
) -> bool:
  rows = [
    sm90_copy_rows.rows_of(x, n) for x, n in zip(arrays, columns, strict=True)
  ]
  return all(map(is_copyable, rows)) and is_worth_a_launch(rows)
