"""Checks of what m-grouped GEMMs take besides scaled operands."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives.grouped_layout import Layout

_OUT_DTYPES = ("bfloat16", "float32")
# The name of each layout's array, and what its dimension is called.
_ARRAYS: dict[str, tuple[str, str]] = {
  "index": ("grouped_layout", "[m]"),
  "psum": ("grouped_layout", "[g]"),
  "ragged": ("group_sizes", "[g]"),
  "masked": ("masked_m", "[g]"),
}
_LARGEST_INT32 = 2**31 - 1


def bf16_operand(name: str, operand: Any, layout: str) -> jax.Array:
  """Returns the operand as an array of the rank that `layout` has.

  Raises:
    TypeError: it is no array of bfloat16.
    ValueError: its rank is wrong.
  """
  if not isinstance(operand, (jax.Array, np.ndarray)):
    raise TypeError(
      f"{name} must be a bfloat16 array, got {type(operand).__name__}"
    )
  if operand.dtype != jnp.bfloat16:
    raise TypeError(
      f"{name} must be a bfloat16 array, got {operand.dtype.name} of shape"
      f" {operand.shape}"
    )
  if operand.ndim != len(layout.split(",")):
    raise ValueError(f"{name} must have shape {layout}, got {operand.shape}")
  return jnp.asarray(operand)


def checked_group_layout(layout: Layout, x: Any, length: int) -> jax.Array:
  """Returns the layout array as int32; what is too large for it stays large.

  Args:
    layout: how it is to be read.
    x: the argument.
    length: how many elements it must have.

  Raises:
    TypeError: it is no array of int32 or int64.
    ValueError: its shape is wrong.
  """
  name, dimension = _ARRAYS[layout]
  found = x.dtype.name if hasattr(x, "dtype") else type(x).__name__
  if not isinstance(x, (jax.Array, np.ndarray)) or found not in (
    "int32",
    "int64",
  ):
    raise TypeError(f"{name} must be an int32 array on the device, got {found}")
  if x.shape != (length,):
    raise ValueError(
      f"{name} must have shape {dimension} = {(length,)}, got {x.shape}"
    )
  if x.dtype == jnp.int64:
    x = x.clip(-1, _LARGEST_INT32)
  return jnp.asarray(x, jnp.int32)


def checked_out_dtype(out_dtype: jax.typing.DTypeLike | None) -> jnp.dtype:
  """Returns the result's dtype, bfloat16 unless told otherwise.

  Raises:
    TypeError: it is neither bfloat16 nor float32.
  """
  dtype = jnp.dtype(jnp.bfloat16 if out_dtype is None else out_dtype)
  if dtype.name not in _OUT_DTYPES:
    raise TypeError(f"out_dtype must be bfloat16 or float32, got {dtype.name}")
  return dtype


def checked_expected_m(expected_m: Any) -> int | None:
  """Returns the hint; raises unless it is None or an integer >= 1."""
  if expected_m is None:
    return None
  if type(expected_m) is not int:
    raise TypeError(
      f"expected_m must be an integer or None, got {expected_m!r}"
    )
  if expected_m < 1:
    raise ValueError(f"expected_m must be >= 1, got {expected_m}")
  return expected_m


def checked_flag(name: str, flag: Any) -> bool:
  """Returns the flag; raises TypeError unless it is a bool."""
  if not isinstance(flag, bool):
    raise TypeError(f"{name} must be a bool, got {flag!r}")
  return flag


def checked_contiguous_layout(use_psum_layout: Any) -> Layout:
  """Returns how the grouped_layout of a contiguous product is to be read."""
  is_psum = checked_flag("use_psum_layout", use_psum_layout)
  return "psum" if is_psum else "index"
