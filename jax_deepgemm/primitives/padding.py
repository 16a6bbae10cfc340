"""Rows that begin where TMA can begin one."""

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align
from jax_deepgemm.heuristics.sm90_pad_rows import (
  can_be_padded,
  is_worth_a_launch,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_pad_rows


def pad_last(x: jax.Array, multiple: int) -> jax.Array:
  """Returns x with zeros behind its last dimension, up to a multiple."""
  missing = -x.shape[-1] % multiple
  if not missing:
    return x
  return jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),))


def pad_bytes(
  a: jax.Array, b: jax.Array, multiple: int, options: Options
) -> tuple[jax.Array, jax.Array]:
  """Returns what `pad_last` does, by one launch where that is worth it.

  Only for the lowering of a Hopper kernel.

  Args:
    a: of elements of a byte.
    b: the same.
    multiple: a multiple of 16.
    options: how to launch.
  """
  arrays = [a, b]
  which = [i for i, x in enumerate(arrays) if x.shape[-1] % multiple]
  columns = [align(arrays[i].shape[-1], multiple) for i in which]
  rows = [
    sm90_pad_rows.rows_of(arrays[i], n)
    for i, n in zip(which, columns, strict=True)
  ]
  if not is_worth_a_launch(rows) or not all(map(can_be_padded, rows)):
    return pad_last(a, multiple), pad_last(b, multiple)
  padded = sm90_pad_rows.run(
    [arrays[i] for i in which], columns, options=options
  )
  for i, x in zip(which, padded, strict=True):
    arrays[i] = x
  return arrays[0], arrays[1]
