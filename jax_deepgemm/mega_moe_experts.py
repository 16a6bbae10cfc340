"""What the experts of one rank compute of the rows that arrived."""

import jax
import jax.numpy as jnp

from jax_deepgemm.fp4_operands import is_packed_fp4
from jax_deepgemm.fused_casts import weighted_swiglu
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.mega_moe_params import MegaMoeParams
from jax_deepgemm.primitives.cast import cast
from jax_deepgemm.primitives.cast_form import CastForm
from jax_deepgemm.primitives.m_grouped_gemm import (
  m_grouped_bf16_gemm,
  m_grouped_fp8_fp4_gemm,
  m_grouped_fp8_gemm,
)
from jax_deepgemm.quantize import cast_live_rows
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.straight_through import PER_BLOCK, PER_TOKEN


def product(
  rows: Operand,
  weight: Operand,
  sizes: jax.Array,
  expected_m: int,
  params: MegaMoeParams,
  *,
  weight_is_transposed: bool = False,
) -> jax.Array:
  """Returns rows[i] @ weight[g].T in row i of group g, else zero; bfloat16.

  Args:
    rows: `[m, k]`, both with scales or both in bfloat16.
    weight: `[g, n, k]`, or FP4 `[g, n, k / 2]` beside rows with scales.
    sizes: `[g]` int32, rows of each group.
    expected_m: rows that a group is expected to have; only a hint.
    params: of the layer.
    weight_is_transposed: a weight in bfloat16 is `[g, k, n]`.
  """
  static = {
    "out_dtype": jnp.bfloat16,
    "layout": "ragged",
    "alignment": 1,
    "expected_m": expected_m,
    "zero_padding": False,
    "options": params.options,
  }
  if is_packed_fp4(weight):
    return m_grouped_fp8_fp4_gemm(*rows, *weight, sizes, **static)
  if isinstance(rows, ScaledArray):
    return m_grouped_fp8_gemm(
      *rows, *weight, sizes, recipe_a=PER_TOKEN, recipe_b=PER_BLOCK, **static
    )
  return m_grouped_bf16_gemm(
    rows, weight, sizes, b_mn_major=weight_is_transposed, **static
  )


def activation(
  hidden: jax.Array,
  weights: jax.Array,
  sizes: jax.Array,
  params: MegaMoeParams,
) -> Operand:
  """Returns (silu(gate) * up) * weights as the second product reads it.

  Args:
    hidden: `[m, 2 intermediate]` bfloat16, gate beside up.
    weights: `[m]` float32.
    sizes: `[g]` int32, rows of each group.
    params: of the layer; gate and up are clamped.
  """
  y = weighted_swiglu(
    hidden, weights, params.clamp_array, fast_math=params.fast_math
  )
  if params.is_fp8:
    return cast_live_rows(y, sizes, False, params.options)
  # Of the same kernel as in one chain, so that exponentials have the same bits.
  form = CastForm("live_values", source=y.source, fast_math=y.fast_math)
  (values,) = cast(*y.operands, sizes, form=form, options=params.options)
  return values
