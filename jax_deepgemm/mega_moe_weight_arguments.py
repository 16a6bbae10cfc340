"""Checks of the experts' weights of `fp8_mega_moe` and its kin."""

from typing import Any

from jax_deepgemm.fp4_operands import (
  FP4_RECIPE,
  canonical_fp4,
  is_fp4_pair,
  is_packed_fp4,
)
from jax_deepgemm.gemm_operands import (
  Operand,
  as_pair,
  canonical_operand,
  values_of,
)
from jax_deepgemm.grouped_operands import bf16_operand
from jax_deepgemm.mega_moe_params import BF16, FP4
from jax_deepgemm.straight_through import PER_BLOCK

_FP4_FORM = (
  "FP4 as per_token_cast_to_fp4(w, use_ue8m0=True, gran_k=32,"
  " use_packed_ue8m0=True) returns it"
)


def checked_weights(
  l1_weights: Any,
  l2_weights: Any,
  mma_type: str,
  names: tuple[str, str] = ("l1_weights", "l2_weights"),
) -> tuple[Operand, Operand]:
  """Returns the experts' weights, which fit each other.

  Args:
    l1_weights: `[g, 2 intermediate, hidden]`.
    l2_weights: `[g, hidden, intermediate]`.
    mma_type: of the layer. For "fp8xfp8" they have scales, or get them; for
      "fp8xfp4" they are FP4, half as many columns; else they are bfloat16.
    names: of the arguments, for messages.

  Raises:
    TypeError: a form or dtype is wrong.
    ValueError: a shape is wrong.
  """
  l1 = _checked(names[0], l1_weights, mma_type)
  l2 = _checked(names[1], l2_weights, mma_type)
  experts, two_i, hidden = shape_of_weight(l1)
  if two_i % 2:
    raise ValueError(
      f"{names[0]} must have the rows of gate and as many of up, got shape"
      f" {(experts, two_i, hidden)}"
    )
  wanted = (experts, hidden, two_i // 2)
  if shape_of_weight(l2) != wanted:
    raise ValueError(
      f"{names[1]} must have shape [experts of a rank, hidden,"
      f" intermediate_hidden] = {wanted}, as {names[0]} have it, got"
      f" {shape_of_weight(l2)}"
    )
  return l1, l2


def shape_of_weight(weight: Operand) -> tuple[int, int, int]:
  """Returns (g, n, k) of what the weight stands for; FP4 has two in a byte."""
  groups, n, columns = values_of(weight).shape
  return groups, n, columns * (2 if is_packed_fp4(weight) else 1)


def _checked(name: str, weight: Any, mma_type: str) -> Operand:
  if mma_type == BF16:
    return bf16_operand(name, weight, "[g, n, k]")
  if mma_type == FP4:
    return _checked_fp4(name, weight)
  return canonical_operand(
    name, weight, rows="n", transposed=False, recipe=PER_BLOCK, grouped=True
  )


def _checked_fp4(name: str, weight: Any) -> Operand:
  """Returns int8 `[g, n, k / 2]` with int32 scales `[g, n, ceil(k / 128)]`."""
  pair = as_pair(name, weight)
  if pair is None:
    found = getattr(weight, "dtype", type(weight).__name__)
    raise TypeError(f"{name} must be {_FP4_FORM}, got one of {found}")
  if not is_fp4_pair(name, weight):
    found = getattr(pair["values"], "dtype", type(pair["values"]).__name__)
    raise TypeError(f"{name} must be {_FP4_FORM}, got values of {found}")
  checked, _ = canonical_fp4(
    name, weight, rows="n", transposed=False, recipe=FP4_RECIPE, grouped=True
  )
  if not is_packed_fp4(checked):
    raise TypeError(
      f"{name} must be {_FP4_FORM}, got scales of {pair['scales'].dtype}; pack"
      " powers of two with pack_ue8m0_to_int"
    )
  return checked
