"""Checks of what all dense GEMMs are given, at trace time."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_OUT_DTYPES = ("bfloat16", "float32")


def checked_matrix(
  name: str, x: Any, rows: str, k_first: bool, dtypes: Sequence[str]
) -> jax.Array:
  """Returns operand `name` as a JAX array.

  Args:
    name: of the argument, for messages.
    x: what was given.
    rows: "m" or "n", for messages.
    k_first: it is to be `[k, rows]`, not `[rows, k]`.
    dtypes: what its dtype may be.

  Raises:
    TypeError: x is no array of such a dtype.
    ValueError: x is no matrix.
  """
  layout = f"[k, {rows}]" if k_first else f"[{rows}, k]"
  return checked_array(name, x, layout, dtypes)


def checked_array(
  name: str, x: Any, layout: str, dtypes: Sequence[str]
) -> jax.Array:
  """Returns argument `name` as a JAX array.

  Args:
    name: of the argument, for messages.
    x: what was given.
    layout: its dimensions, such as "[m, k]".
    dtypes: what its dtype may be.

  Raises:
    TypeError: x is no array of such a dtype.
    ValueError: x has another rank.
  """
  allowed = " or ".join(dtypes)
  if not isinstance(x, (jax.Array, np.ndarray)):
    raise TypeError(
      f"{name} must be an array of {allowed}, got {type(x).__name__}"
    )
  if x.dtype.name not in dtypes:
    raise TypeError(
      f"{name} must be an array of {allowed}, got {x.dtype.name} of shape"
      f" {x.shape}"
    )
  if x.ndim != len(layout.split(",")):
    raise ValueError(f"{name} must have shape {layout}, got {x.shape}")
  return jnp.asarray(x)


def checked_out(out_dtype: jax.typing.DTypeLike | None, c: Any) -> jnp.dtype:
  """Returns the dtype of the result: as asked, c's, or bfloat16.

  Raises:
    TypeError: it is neither bfloat16 nor float32.
  """
  if out_dtype is None:
    out_dtype = jnp.bfloat16 if c is None else getattr(c, "dtype", "float32")
    name = "c"
  else:
    name = "out_dtype"
  dtype = jnp.dtype(out_dtype)
  if dtype.name not in _OUT_DTYPES:
    raise TypeError(f"{name} must be bfloat16 or float32, got {dtype.name}")
  return dtype


def checked_c(
  c: Any,
  shape: tuple[int, ...],
  out_dtype: jnp.dtype,
  layout: str = "[m, n]",
) -> jax.Array | None:
  """Returns c as a JAX array, or None; `layout` names the sizes of `shape`.

  Raises:
    TypeError: c is no array of `out_dtype`.
    ValueError: c has another shape.
  """
  if c is None:
    return None
  if not isinstance(c, (jax.Array, np.ndarray)):
    raise TypeError(f"c must be an array or None, got {type(c).__name__}")
  if c.dtype != out_dtype:
    raise TypeError(
      f"c must have out_dtype {out_dtype.name}, got {c.dtype.name}"
    )
  if c.shape != shape:
    raise ValueError(f"c must have shape {layout} = {shape}, got {c.shape}")
  return jnp.asarray(c)
