"""Memory that arrays take."""

import math
from typing import Any

import jax
import jax.numpy as jnp


def count_bytes(*trees: Any) -> int:
  """Returns the bytes of all arrays in `trees`: what a kernel must move.

  Args:
    *trees: pytrees of arrays or `jax.ShapeDtypeStruct`s; None counts nothing.

  Raises:
    TypeError: a leaf has no shape and dtype.
  """
  return sum(_bytes_of(leaf) for leaf in jax.tree.leaves(trees))


def _bytes_of(leaf: Any) -> int:
  if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
    raise TypeError(
      f"trees must hold arrays only, got {type(leaf).__name__} {leaf!r}"
    )
  return math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize
