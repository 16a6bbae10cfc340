"""Checks of what differentiable dot products are given, at trace time."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

DTYPES = ("bfloat16", "float16", "float32")


def checked_operand(name: str, x: Any) -> jax.Array:
  """Returns the operand as a JAX array.

  Raises:
    TypeError: it is no array of a dtype that is multiplied.
  """
  found = x.dtype.name if hasattr(x, "dtype") else type(x).__name__
  if not isinstance(x, (jax.Array, np.ndarray)) or found not in DTYPES:
    raise TypeError(
      f"{name} must be an array of {', '.join(DTYPES)}, got {found}"
    )
  return jnp.asarray(x)


def checked_result_dtype(
  preferred: jax.typing.DTypeLike | None, lhs: jax.Array, rhs: jax.Array
) -> jnp.dtype:
  """Returns the result's dtype: as asked, or that both operands promote to.

  Raises:
    TypeError: it is not one that is computed.
  """
  if preferred is None:
    # Of two different ones of these three, float32 alone holds both.
    return lhs.dtype if lhs.dtype == rhs.dtype else jnp.dtype(jnp.float32)
  dtype = jnp.dtype(preferred)
  if dtype.name not in DTYPES:
    raise TypeError(
      f"preferred_element_type must be one of {', '.join(DTYPES)}, got"
      f" {dtype.name}"
    )
  return dtype


def as_castable(x: jax.Array) -> jax.Array:
  """Returns x in a dtype that kernels cast to fp8, with the same values."""
  return x.astype(jnp.float32) if x.dtype == jnp.float16 else x


def product_dtype(result: jnp.dtype) -> jnp.dtype:
  """Returns the dtype that a product is computed in for that result."""
  return jnp.dtype(jnp.float32) if result == jnp.float16 else result


def checked_group_sizes(
  group_sizes: Any, num_groups: int, num_rows: int
) -> jax.Array:
  """Returns group_sizes as int32, each cut to the rows that there are.

  Raises:
    TypeError: it is no array of integers.
    ValueError: its shape is wrong.
  """
  found = str(getattr(group_sizes, "dtype", type(group_sizes).__name__))
  if not jnp.issubdtype(getattr(group_sizes, "dtype", object), jnp.integer):
    raise TypeError(f"group_sizes must be an array of integers, got {found}")
  if group_sizes.shape != (num_groups,):
    raise ValueError(
      f"group_sizes must have shape [g] = {(num_groups,)}, got"
      f" {group_sizes.shape}"
    )
  sizes = jnp.asarray(group_sizes)
  largest = min(num_rows, jnp.iinfo(sizes.dtype).max)
  return jnp.clip(sizes, 0, largest).astype(jnp.int32)
