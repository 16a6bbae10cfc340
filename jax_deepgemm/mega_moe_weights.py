"""The experts' weights as the forward and the backward pass read them."""

import dataclasses

from jax_deepgemm import residuals, straight_through
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.mega_moe_params import MegaMoeParams
from jax_deepgemm.scaled_array import ScaledArray


def as_read(weight: Operand, params: MegaMoeParams) -> Operand:
  """Returns `[g, n, k]` as products read it: with scales, or in bfloat16."""
  if not params.is_fp8:
    return weight
  return straight_through.quantized(weight, params.recipe_b, params.options)


def as_read_and_kept(
  weight: Operand, params: MegaMoeParams
) -> tuple[Operand, Operand]:
  """Returns the same, and what is kept for the backward pass.

  A plain weight is cast in both orientations from one reading.
  """
  if not params.is_fp8:
    return weight, weight
  return residuals.weight(weight, _policy(weight, params), is_wanted=True)


def of_gradient(
  kept: Operand, *, was_plain: bool, params: MegaMoeParams
) -> Operand:
  """Returns w `[g, k, n]` with scales, or `[g, n, k]` in bfloat16.

  Args:
    kept: from `as_read_and_kept`.
    was_plain: what that was given had no scales.
    params: of the layer.
  """
  if not params.is_fp8:
    return kept
  if not was_plain:
    params = dataclasses.replace(params, residuals="mixed")
  return residuals.weight_of_gradient(kept, params)[0]


def _policy(weight: Operand, params: MegaMoeParams) -> MegaMoeParams:
  """Returns params that keep the codes of a weight that came quantised."""
  if isinstance(weight, ScaledArray):
    return dataclasses.replace(params, residuals="mixed")
  return params
