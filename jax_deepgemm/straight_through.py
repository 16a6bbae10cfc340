"""What GEMMs with gradients share: operands quantised, saved and transposed.

Operands are `[..., rows, k]`; a granularity of None stands for no scales.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.fp4_operands import FP4_RECIPE, as_fp8, is_packed_fp4
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.reference import dequantize
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message
from jax_deepgemm.quantize import cast_blocks, cast_rows, cast_transposed
from jax_deepgemm.recipes import Granularity
from jax_deepgemm.scaled_array import ScaledArray

PER_TOKEN = (1, 128)
PER_BLOCK = (128, 128)


def plain_dtype(operand: Operand) -> jnp.dtype | None:
  """Returns the dtype of the operand's gradient, None if it is quantised."""
  if isinstance(operand, ScaledArray):
    return None
  return jnp.dtype(operand.dtype)


def primal(name: str, operand: Any) -> tuple[Operand, bool]:
  """Returns the operand without its marks, and whether it is perturbed.

  Raises:
    TypeError: it is both quantised and perturbed.
  """
  marked = jax.tree.leaves(operand, is_leaf=lambda x: hasattr(x, "perturbed"))
  is_perturbed = any(x.perturbed for x in marked)
  if len(marked) == 2:
    if is_perturbed:
      raise TypeError(quantized_gradient_message(name))
    return ScaledArray(*(x.value for x in marked)), False
  return marked[0].value, is_perturbed


def quantized(
  operand: Operand, recipe: Granularity | None, options: Options
) -> Operand:
  """Returns the operand with scales of that granularity."""
  if recipe is None or isinstance(operand, ScaledArray):
    return operand
  if recipe[0] == 1:
    return cast_rows(operand, recipe[1], False, options)
  return cast_blocks(operand, recipe[1], False, options)


def saved(
  operand: Operand, quantized: Operand, recipe: Granularity | None
) -> Operand:
  """Returns what the backward pass transposes.

  Square blocks can be transposed as they are; other scales are made anew from
  the plain array, which a jitted step keeps in memory anyway.
  """
  chosen = quantized if recipe == PER_BLOCK else operand
  if is_packed_fp4(chosen):
    return chosen
  return as_bits(chosen) if isinstance(chosen, ScaledArray) else chosen


def transposed(
  operand: Operand,
  recipe: Granularity | None,
  wanted: Granularity | None,
  options: Options,
) -> tuple[Operand, Granularity | None]:
  """Returns the transpose of what was saved, quantised, and its granularity.

  Args:
    operand: contracted along its rows.
    recipe: granularity of `operand`, should it be quantised.
    wanted: granularity that the transpose gets if it is not.
    options: of the forward pass.
  """
  if isinstance(operand, ScaledArray) and recipe == PER_BLOCK:
    values, scales = as_codes(operand)
    return ScaledArray(values.mT, scales.mT), recipe
  plain = restored(operand, recipe)
  if wanted == PER_TOKEN:
    return cast_transposed(plain, 128, False, options), wanted
  return quantized(plain.mT, wanted, options), wanted


def restored(operand: Operand, recipe: Granularity | None) -> jax.Array:
  """Returns what was saved as a plain array."""
  if not isinstance(operand, ScaledArray):
    return operand
  if is_packed_fp4(operand):
    return dequantize(*as_fp8(operand), FP4_RECIPE)
  return dequantize(*as_codes(operand), recipe)


def as_bits(operand: ScaledArray) -> ScaledArray:
  """Returns e4m3fn values as uint8, to be saved.

  jax.checkpoint rounds floats that a policy saves as if their format had
  infinities: 256 to 448 of e4m3fn would come back as NaN. Bits stay bits.
  """
  bits = jax.lax.bitcast_convert_type(operand.values, jnp.uint8)
  return ScaledArray(bits, operand.scales)


def as_codes(operand: ScaledArray) -> ScaledArray:
  """Returns what `as_bits` was given."""
  values = jax.lax.bitcast_convert_type(operand.values, jnp.float8_e4m3fn)
  return ScaledArray(values, operand.scales)
