"""The GEMM with gradients: plain operands are quantised, straight through.

The gradient is that of the unquantised product, computed in fp8 with the
recipe of DeepSeek-V3: dA = dY B with dY 1 x 128 along n and B 128 x 128, and
dB = dY^T A with both 1 x 128 along m.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_deepgemm import straight_through
from jax_deepgemm.fp4_operands import scales_of_rows
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.fp8_fp4_gemm import FORM as FP4_FORM
from jax_deepgemm.primitives.fp8_fp4_gemm import fp8_fp4_gemm
from jax_deepgemm.primitives.fp8_gemm import fp8_gemm
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.quantize import cast_both, cast_rows, cast_transposed
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.straight_through import PER_BLOCK, PER_TOKEN


@dataclasses.dataclass(frozen=True)
class GemmParams:
  """What a GEMM is told besides its operands; hashable.

  Attributes:
    out_dtype: dtype of the result.
    recipe_a: (gran_m, gran_k) of a.
    recipe_b: (gran_n, gran_k) of b.
    options: in force at the call; the backward pass uses them too.
    b_is_fp4: b is FP4 with packed scales, 1 x 32.
  """

  out_dtype: jnp.dtype
  recipe_a: Granularity
  recipe_b: Granularity
  options: Options
  b_is_fp4: bool = False

  @property
  def form(self) -> GemmForm:
    """How the operands lie."""
    if self.b_is_fp4:
      return dataclasses.replace(FP4_FORM, recipe_a=self.recipe_a)
    return GemmForm(2, recipe_a=self.recipe_a, recipe_b=self.recipe_b)


def gemm(
  a: Operand, b: Operand, c: jax.Array | None, params: GemmParams
) -> jax.Array:
  """Returns c + a @ b.T, differentiable in c and in operands that are plain.

  Args:
    a: `[m, k]`, a pair with float32 scales or a plain array.
    b: `[n, k]`, likewise, or FP4 if `params.b_is_fp4`.
    c: `[m, n]` in `params.out_dtype`, or None.
    params: as above.

  Raises:
    TypeError: while differentiating: a quantised operand was to have a
      gradient.
  """
  a, b, c = to_common_varying((a, b, c))
  if isinstance(a, ScaledArray) and isinstance(b, ScaledArray):
    return _multiply(a, b, c, params)
  gradients = _Gradients(
    straight_through.plain_dtype(a),
    straight_through.plain_dtype(b),
    c is not None,
  )
  return _jitted_straight_through(params, gradients, a, b, c)


class _Gradients(NamedTuple):
  """dtypes of the gradients of a and b, None for quantised; whether c is."""

  a: jnp.dtype | None
  b: jnp.dtype | None
  c: bool


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _straight_through(
  params: GemmParams,
  gradients: _Gradients,
  a: Operand,
  b: Operand,
  c: jax.Array | None,
) -> jax.Array:
  del gradients
  quantized_a = straight_through.quantized(a, params.recipe_a, params.options)
  quantized_b = straight_through.quantized(b, params.recipe_b, params.options)
  return _multiply(quantized_a, quantized_b, c, params)


def _forward(
  params: GemmParams, gradients: _Gradients, a: Any, b: Any, c: Any
) -> tuple[jax.Array, tuple[Operand | None, Operand | None]]:
  """Returns the result, and what the perturbed operands' gradients need."""
  del gradients
  a, a_is_perturbed = straight_through.primal("a", a)
  b, b_is_perturbed = straight_through.primal("b", b)
  c = None if c is None else c.value
  quantized_a = straight_through.quantized(a, params.recipe_a, params.options)
  quantized_b = straight_through.quantized(b, params.recipe_b, params.options)
  result = _multiply(quantized_a, quantized_b, c, params)
  for_a = for_b = None
  if a_is_perturbed:
    for_a = straight_through.saved(b, quantized_b, params.recipe_b)
  if b_is_perturbed:
    for_b = straight_through.saved(a, quantized_a, params.recipe_a)
  return result, (for_a, for_b)


def _backward(
  params: GemmParams,
  gradients: _Gradients,
  residuals: tuple[Operand | None, Operand | None],
  dy: jax.Array,
) -> tuple[jax.Array | None, jax.Array | None, jax.Array | None]:
  """Returns the cotangents of a, b and c."""
  for_a, for_b = residuals
  options = params.options
  if for_a is not None and for_b is not None:
    dy_rows, dy_columns = cast_both(dy, False, options)
  elif for_a is not None:
    dy_rows = cast_rows(dy, 128, False, options)
  elif for_b is not None:
    dy_columns = cast_transposed(dy, 128, False, options)
  da = db = None
  if for_a is not None:
    other = straight_through.transposed(
      for_a, params.recipe_b, PER_BLOCK, options
    )
    da = _gradient(dy_rows, *other, gradients.a, options)
  if for_b is not None:
    other = straight_through.transposed(
      for_b, params.recipe_a, PER_TOKEN, options
    )
    db = _gradient(dy_columns, *other, gradients.b, options)
  return da, db, dy if gradients.c else None


_straight_through.defvjp(_forward, _backward, symbolic_zeros=True)

# shard_map without jit around it takes no custom_vjp with symbolic zeros.
_jitted_straight_through = jax.jit(
  _straight_through, static_argnums=(0, 1), inline=True
)


def _gradient(
  dy: ScaledArray,
  other: ScaledArray,
  recipe: Granularity,
  dtype: Any,
  options: Options,
) -> jax.Array:
  """Returns dy @ other.T in `dtype`, of dy with scales per row."""
  params = GemmParams(dtype, PER_TOKEN, recipe, options)
  return _multiply(dy, other, None, params)


def _multiply(
  a: ScaledArray, b: ScaledArray, c: jax.Array | None, params: GemmParams
) -> jax.Array:
  """Returns c + a @ b.T of quantised operands."""
  if params.b_is_fp4:
    scales = scales_of_rows(a, params.recipe_a)
    return fp8_fp4_gemm(
      a.values,
      scales,
      *b,
      c,
      out_dtype=params.out_dtype,
      options=params.options,
    )
  return fp8_gemm(
    a.values,
    a.scales,
    b.values,
    b.scales,
    c,
    out_dtype=params.out_dtype,
    recipe_a=params.recipe_a,
    recipe_b=params.recipe_b,
    options=params.options,
  )
