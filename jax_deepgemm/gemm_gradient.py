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

from jax_deepgemm import main_gradient, residuals, straight_through
from jax_deepgemm.fp4_operands import scales_of_rows
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.fp8_fp4_gemm import FORM as FP4_FORM
from jax_deepgemm.primitives.fp8_fp4_gemm import fp8_fp4_gemm
from jax_deepgemm.primitives.fp8_gemm import fp8_gemm
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.quantize import cast_both, cast_rows, cast_transposed
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.residuals import Policy
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.straight_through import PER_TOKEN


@dataclasses.dataclass(frozen=True)
class GemmParams:
  """What a GEMM is told besides its operands; hashable.

  Attributes:
    out_dtype: dtype of the result.
    recipe_a: (gran_m, gran_k) of a.
    recipe_b: (gran_n, gran_k) of b.
    options: in force at the call; the backward pass uses them too.
    b_is_fp4: b is FP4 with packed scales, 1 x 32.
    b_mn_major: b is `[k, n]`; for plain b that is not `residuals` "mixed".
    residuals: what is kept for the backward pass.
    memory: where the result of a batch shall lie.
  """

  out_dtype: jnp.dtype
  recipe_a: Granularity
  recipe_b: Granularity
  options: Options
  b_is_fp4: bool = False
  b_mn_major: bool = False
  residuals: Policy = "mixed"
  memory: MemoryOrder = ROW_MAJOR

  @property
  def form(self) -> GemmForm:
    """How the operands lie."""
    if self.b_is_fp4:
      return dataclasses.replace(FP4_FORM, recipe_a=self.recipe_a)
    return GemmForm(2, recipe_a=self.recipe_a, recipe_b=self.recipe_b)


def gemm(
  a: Operand,
  b: Operand,
  c: jax.Array | None,
  params: GemmParams,
  main_grad: jax.Array | None = None,
) -> jax.Array:
  """Returns c + a @ b.T, differentiable in c and in operands that are plain.

  Args:
    a: `[m, k]`, a pair with float32 scales or a plain array.
    b: `[n, k]`, likewise, or FP4 if `params.b_is_fp4`, or plain `[k, n]` if
      `params.b_mn_major`.
    c: `[m, n]` in `params.out_dtype`, or None.
    params: as above.
    main_grad: float32 of the shape of a plain b, or None; the gradient of b is
      added to it (main_gradient.py).

  Raises:
    TypeError: while differentiating: a quantised operand was to have a
      gradient.
    ValueError: while differentiating in b: main_grad is given, and is not
      differentiated.
  """
  a, b, c = to_common_varying((a, b, c))
  if isinstance(a, ScaledArray) and isinstance(b, ScaledArray):
    return _multiply(a, b, c, params)
  gradients = _Gradients(
    straight_through.plain_dtype(a),
    straight_through.plain_dtype(b),
    c is not None,
  )
  return _jitted_straight_through(params, gradients, a, b, c, main_grad)


class _Gradients(NamedTuple):
  """dtypes of the gradients of a and b, None for quantised; whether c is."""

  a: jnp.dtype | None
  b: jnp.dtype | None
  c: bool


class _Residuals(NamedTuple):
  """What is kept for the backward pass, and which gradients it shall make."""

  for_a: Operand
  for_b: Operand
  main_grad: jax.Array | None
  wants_da: jax.Array
  wants_db: jax.Array
  loses_db: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _straight_through(
  params: GemmParams,
  gradients: _Gradients,
  a: Operand,
  b: Operand,
  c: jax.Array | None,
  main_grad: jax.Array | None,
) -> jax.Array:
  del gradients, main_grad
  quantized_a, _ = _activation(a, params, is_wanted=False)
  quantized_b, _ = residuals.weight(b, params, is_wanted=False)
  return _multiply(quantized_a, quantized_b, c, params)


def _forward(
  params: GemmParams,
  gradients: _Gradients,
  a: Any,
  b: Any,
  c: Any,
  main_grad: Any,
) -> tuple[jax.Array, _Residuals]:
  """Returns the result, and what the perturbed operands' gradients need."""
  del gradients
  a, wants_da = straight_through.primal("a", a)
  b, b_is_perturbed = straight_through.primal("b", b)
  c = None if c is None else c.value
  main_grad, wants_db, is_lost = main_gradient.primal(main_grad, b_is_perturbed)
  quantized_a, for_b = _activation(a, params, wants_db)
  quantized_b, for_a = residuals.weight(b, params, wants_da)
  result = _multiply(quantized_a, quantized_b, c, params)
  wishes = map(residuals.wish, (wants_da, wants_db, is_lost))
  return result, _Residuals(for_a, for_b, main_grad, *wishes)


def _activation(
  a: Operand, params: GemmParams, is_wanted: bool
) -> tuple[Operand, Operand]:
  """Returns a as the product reads it, and what is kept of it."""
  if params.residuals == "fp8" and is_wanted:
    rows, columns = cast_both(a, False, params.options)
    return rows, residuals.activation(columns, True)
  rows = straight_through.quantized(a, params.recipe_a, params.options)
  if params.residuals == "mixed":
    return rows, straight_through.saved(a, rows, params.recipe_a)
  kept = a if params.residuals == "bf16" else rows
  return rows, residuals.activation(kept, is_wanted)


def _backward(
  params: GemmParams,
  gradients: _Gradients,
  kept: _Residuals,
  dy: jax.Array,
) -> tuple[jax.Array | None, ...]:
  """Returns the cotangents of a, b, c and main_grad."""
  main_gradient.check_not_lost(residuals.is_wanted(kept.loses_db))
  options = params.options
  wants_da, wants_db = map(residuals.is_wanted, (kept.wants_da, kept.wants_db))
  if wants_da and wants_db:
    dy_rows, dy_columns = cast_both(dy, False, options)
  elif wants_da:
    dy_rows = cast_rows(dy, 128, False, options)
  elif wants_db:
    dy_columns = cast_transposed(dy, 128, False, options)
  da = db = None
  if wants_da:
    other = residuals.weight_of_gradient(kept.for_a, params)
    da = _product((dy_rows, PER_TOKEN), other, gradients.a, options)
  if wants_db:
    db = _weight_gradient(dy_columns, kept, params, gradients.b)
  dc = dy if gradients.c else None
  if kept.main_grad is not None:
    return da, None, dc, db
  return da, db, dc, None


_straight_through.defvjp(_forward, _backward, symbolic_zeros=True)

# shard_map without jit around it takes no custom_vjp with symbolic zeros.
_jitted_straight_through = jax.jit(
  _straight_through, static_argnums=(0, 1), inline=True
)


def _weight_gradient(
  dy_columns: ScaledArray, kept: _Residuals, params: GemmParams, dtype: Any
) -> jax.Array:
  """Returns dy.T @ a, transposed if b is; added to the main gradient."""
  options = params.options
  if params.residuals == "fp8":
    columns = straight_through.as_codes(kept.for_b), PER_TOKEN
  else:
    columns = straight_through.transposed(
      kept.for_b, params.recipe_a, PER_TOKEN, options
    )
  factors = [(dy_columns, PER_TOKEN), columns]
  if params.b_mn_major:
    factors.reverse()
  (left, recipe), (right, other_recipe) = factors

  def product(
    operands: tuple[ScaledArray, ScaledArray],
    c: jax.Array | None,
    out_dtype: Any,
  ) -> jax.Array:
    left, right = operands
    return _product(
      (left, recipe), (right, other_recipe), out_dtype, options, c
    )

  return main_gradient.accumulated(
    product, (left, right), kept.main_grad, dtype
  )


def _product(
  a: tuple[ScaledArray, Granularity],
  b: tuple[ScaledArray, Granularity],
  dtype: Any,
  options: Options,
  c: jax.Array | None = None,
) -> jax.Array:
  """Returns c + a @ b.T in `dtype`, of operands with their granularities."""
  (a, recipe_a), (b, recipe_b) = a, b
  return _multiply(a, b, c, GemmParams(dtype, recipe_a, recipe_b, options))


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
    memory=params.memory,
  )
