"""Checks of FP4 operands at trace time, and how they are multiplied."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.fp4 import transpose_packed_fp4
from jax_deepgemm.gemm_operands import (
  Operand,
  as_array,
  as_pair,
  canonical_operand,
  check_rank,
  check_scales,
  values_of,
)
from jax_deepgemm.primitives import fp4_codes, fp4_reference
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.scaled_array import ScaledArray

# Of the scales that kernels read, and only packed.
FP4_RECIPE = (1, 32)


def is_fp4_pair(name: str, operand: Any) -> bool:
  """Returns whether the operand is a pair of int8 values and scales."""
  pair = as_pair(name, operand)
  return pair is not None and _dtype(pair["values"]) == jnp.int8


def is_packed_fp4(operand: Operand) -> bool:
  """Returns whether a canonical operand is FP4 with packed 1 x 32 scales."""
  return isinstance(operand, ScaledArray) and operand.values.dtype == jnp.int8


def canonical_fp4(
  name: str,
  operand: Any,
  *,
  rows: str,
  transposed: bool,
  recipe: Granularity,
  grouped: bool = False,
) -> tuple[ScaledArray, range]:
  """Returns the operand as `[rows, k]`, and what its k may be.

  With packed 1 x 32 scales it stays FP4: `[rows, ceil(k / 2)]` int8 and
  `[rows, ceil(k / 128)]` int32. With others it becomes fp8, which is exact:
  `[rows, k]` float8_e4m3fn and float32 scales, k even. Unless it is transposed
  the last code of each row may be there to fill a byte, so k is one of two.

  Args:
    name: of the argument, for messages.
    operand: a pair of int8 values and scales, in any of the accepted forms.
    rows: "m" or "n", for messages.
    transposed: the operand comes as `[k, rows / 2]`, its scales as `[k, rows]`.
    recipe: (gran_mn, gran_k) of its scales.
    grouped: values and scales have a group dimension in front.

  Raises:
    TypeError: a dtype is not accepted.
    ValueError: a rank or shape is wrong.
  """
  layout = f"k, {rows} / 2" if transposed else f"{rows}, k / 2"
  layout = f"[g, {layout}]" if grouped else f"[{layout}]"
  values, scales = (
    as_array(f"{part} of {name}", x)
    for part, x in as_pair(name, operand).items()
  )
  check_rank(f"values of {name}", values, layout)
  size, columns = values.shape[-2], 2 * values.shape[-1]
  shape = (columns, size) if transposed else (size, columns)
  check_scales(name, values, scales, shape, transposed, recipe)
  ks = range(columns - 1, columns + 1)
  if transposed:
    ks = range(size, size + 1)
    values, scales = _transposed(values), scales.mT
  if scales.dtype == jnp.int32 and recipe == FP4_RECIPE:
    return ScaledArray(values, scales), ks
  return _as_fp8(ScaledArray(values, scales), recipe), ks


def canonical(
  name: str,
  operand: Any,
  rows: str,
  transposed: bool,
  recipe: Granularity,
  grouped: bool = False,
) -> tuple[Operand, range]:
  """Returns an operand that is fp8, plain or FP4, and what its k may be."""
  if is_fp4_pair(name, operand):
    return canonical_fp4(
      name,
      operand,
      rows=rows,
      transposed=transposed,
      recipe=recipe,
      grouped=grouped,
    )
  checked = canonical_operand(
    name,
    operand,
    rows=rows,
    transposed=transposed,
    recipe=recipe,
    grouped=grouped,
  )
  k = values_of(checked).shape[-1]
  return checked, range(k, k + 1)


def common_k(ks_of_a: range, ks_of_b: range) -> int:
  """Returns the largest k that both operands may have.

  Raises:
    ValueError: there is none.
  """
  both = set(ks_of_a) & set(ks_of_b)
  if not both:
    raise ValueError(
      f"a and b must have the same k, got {ks_of_a[-1]} and {ks_of_b[-1]}"
    )
  return max(both)


def multipliable(
  a: Operand, b: Operand, k: int, recipe_a: Granularity, recipe_b: Granularity
) -> tuple[Operand, Operand]:
  """Returns fp8 and packed FP4 with an even k, or else fp8 and fp8.

  Packed FP4 is multiplied with fp8 that has a scale for 128 columns; next to
  other operands it is decoded.
  """
  others = [
    recipe
    for operand, recipe in ((a, recipe_a), (b, recipe_b))
    if not is_packed_fp4(operand)
  ]
  if len(others) == 1 and others[0][1] == 128:
    return _with_even_k(a), _with_even_k(b)
  return decoded(a, k), decoded(b, k)


def default_recipe(name: str, operand: Any) -> Granularity:
  """Returns the granularity that an operand has unless told otherwise."""
  return FP4_RECIPE if is_fp4_pair(name, operand) else (1, 128)


def as_fp8(operand: ScaledArray) -> ScaledArray:
  """Returns packed FP4 as float8_e4m3fn with float32 scales, 1 x 32."""
  k = 2 * operand.values.shape[-1]
  return ScaledArray(*fp4_reference.as_fp8(*operand, k))


def decoded(operand: Operand, k: int) -> Operand:
  """Returns what was FP4 as fp8 of k columns."""
  if not isinstance(operand, ScaledArray):
    return operand
  if is_packed_fp4(operand):
    operand = as_fp8(operand)
  return ScaledArray(operand.values[..., :k], operand.scales)


def scales_of_rows(operand: ScaledArray, recipe: Granularity) -> jax.Array:
  """Returns scales for each row: what FP4 is multiplied with has no others."""
  rows = operand.values.shape[-2]
  return jnp.repeat(operand.scales, recipe[0], axis=-2)[..., :rows, :]


def _with_even_k(operand: Operand) -> Operand:
  """Returns fp8 or a plain array with one more column of zeros if k is odd."""
  values = values_of(operand)
  if is_packed_fp4(operand) or values.shape[-1] % 2 == 0:
    return operand
  padding = [(0, 0)] * (values.ndim - 1) + [(0, 1)]
  # The last block of scales is not full: no block begins at an odd column.
  padded = jnp.pad(values, padding)
  if isinstance(operand, ScaledArray):
    return ScaledArray(padded, operand.scales)
  return padded


def _as_fp8(operand: ScaledArray, recipe: Granularity) -> ScaledArray:
  values, scales = operand
  if scales.dtype == jnp.int32:
    blocks = ceil_div(2 * values.shape[-1], recipe[1])
    scales = fp4_reference.unpacked_scales(scales, blocks)
  return ScaledArray(fp4_codes.decode_to_e4m3(values), scales)


def _transposed(values: jax.Array) -> jax.Array:
  """Returns `[rows, ceil(k / 2)]` of `[k, rows / 2]`."""
  padding = [(0, 0)] * values.ndim
  padding[-2] = (0, values.shape[-2] % 2)
  return transpose_packed_fp4(jnp.pad(values, padding))


def _dtype(x: Any) -> Any:
  return getattr(x, "dtype", None)
