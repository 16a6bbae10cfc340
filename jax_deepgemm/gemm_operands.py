"""Checks of GEMM operands at trace time, and their one canonical form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.ue8m0 import unpack_ue8m0_from_int

Operand = ScaledArray | jax.Array
PLAIN_DTYPES = ("bfloat16", "float32")

_FORMS = (
  "a pair (values, scales), a ScaledArray, an object with .qvalue and .scale,"
  " or a plain bfloat16 or float32 array"
)
PACKED_PER_INT32 = 4  # UE8M0 scales, along k.


def canonical_operand(
  name: str,
  operand: Any,
  *,
  rows: str,
  transposed: bool,
  recipe: tuple[int, int],
  grouped: bool = False,
) -> Operand:
  """Returns the operand as `[rows, k]`: a float32-scaled pair or a plain array.

  Args:
    name: of the argument, for messages.
    operand: any of the accepted forms.
    rows: "m" or "n", for messages.
    transposed: the operand comes as `[k, rows]`, and so do its scales.
    recipe: (gran_mn, gran_k) of its scales.
    grouped: values and scales have a group dimension in front.

  Raises:
    TypeError: a form or dtype is not accepted.
    ValueError: a rank or shape is wrong.
  """
  layout = f"k, {rows}" if transposed else f"{rows}, k"
  layout = f"[g, {layout}]" if grouped else f"[{layout}]"
  pair = as_pair(name, operand)
  if pair is None:
    return _checked_plain(name, operand, layout, transposed)
  values, scales = (
    as_array(f"{part} of {name}", x) for part, x in pair.items()
  )
  if values.dtype != jnp.float8_e4m3fn:
    raise TypeError(
      f"values of {name} must be float8_e4m3fn, got {values.dtype.name} of"
      f" shape {values.shape}"
    )
  check_rank(f"values of {name}", values, layout)
  *_, rows_of_values, columns = values.shape
  shape = (columns, rows_of_values) if transposed else values.shape[-2:]
  check_scales(name, values, scales, shape, transposed, recipe)
  if transposed:
    values, scales = values.mT, scales.mT
  if scales.dtype == jnp.int32:
    blocks = ceil_div(values.shape[-1], recipe[1])
    scales = unpack_ue8m0_from_int(scales)[..., :blocks]
  return ScaledArray(values, scales)


def values_of(operand: Operand) -> jax.Array:
  """Returns the array that has the operand's shape."""
  return operand.values if isinstance(operand, ScaledArray) else operand


def as_pair(name: str, operand: Any) -> dict[str, Any] | None:
  """Returns values and scales, or None if the operand is one array."""
  if isinstance(operand, (tuple, list)):
    if len(operand) != 2:
      raise ValueError(f"{name} must be {_FORMS}, got {len(operand)} elements")
    return {"values": operand[0], "scales": operand[1]}
  if hasattr(operand, "qvalue") and hasattr(operand, "scale"):
    if getattr(operand, "zero_point", None) is not None:
      raise ValueError(f"{name} must have no zero_point, got one")
    return {"values": operand.qvalue, "scales": operand.scale}
  return None


def _checked_plain(
  name: str, operand: Any, layout: str, transposed: bool
) -> jax.Array:
  if not isinstance(operand, (jax.Array, np.ndarray)):
    raise TypeError(f"{name} must be {_FORMS}, got {type(operand).__name__}")
  array = jnp.asarray(operand)
  if array.dtype == jnp.float8_e4m3fn:
    raise TypeError(
      f"{name} of float8_e4m3fn needs its scales: pass ({name}, scales)"
    )
  if array.dtype.name not in PLAIN_DTYPES:
    raise TypeError(
      f"{name} must be {_FORMS}, got {array.dtype.name} of shape {array.shape}"
    )
  check_rank(name, array, layout)
  return array.mT if transposed else array


def as_array(name: str, x: Any) -> jax.Array:
  """Returns x as a JAX array; raises TypeError unless it is an array."""
  if not isinstance(x, (jax.Array, np.ndarray)):
    raise TypeError(f"{name} must be an array, got {type(x).__name__}")
  return jnp.asarray(x)


def check_rank(name: str, x: jax.Array, layout: str) -> None:
  """Returns nothing; raises ValueError unless x has the rank of `layout`."""
  if x.ndim != len(layout.split(",")):
    raise ValueError(f"{name} must have shape {layout}, got {x.shape}")


def check_scales(
  name: str,
  values: jax.Array,
  scales: jax.Array,
  shape: tuple[int, ...],
  transposed: bool,
  recipe: tuple[int, int],
) -> None:
  """Returns nothing; raises unless the scales fit the values.

  Args:
    name: of the operand.
    values: `[(g,) rows, k]`, or `[(g,) k, rows]` if transposed; if they are
      packed, the last dimension is shorter.
    scales: of the values.
    shape: (rows, k) of what the values stand for.
    transposed: the scales are `[k, rows]` too.
    recipe: (gran_mn, gran_k) of the scales.

  Raises:
    TypeError: the scales' dtype is wrong.
    ValueError: their shape is wrong.
  """
  if scales.dtype not in (jnp.float32, jnp.int32):
    raise TypeError(
      f"scales of {name} must be float32, or int32 for packed UE8M0, got"
      f" {scales.dtype.name}"
    )
  rows, k = shape
  expected = (ceil_div(rows, recipe[0]), ceil_div(k, recipe[1]))
  packed = ""
  if scales.dtype == jnp.int32:
    expected = (expected[0], ceil_div(expected[1], PACKED_PER_INT32))
    packed = " packed"
  if transposed:
    expected = expected[::-1]
  expected = (*values.shape[:-2], *expected)
  if scales.shape != expected:
    raise ValueError(
      f"{scales.dtype.name}{packed} scales of {name} must have shape"
      f" {expected} for values of shape {values.shape} and granularity"
      f" (rows, k) = {recipe}, got {scales.shape}"
    )
