"""The weights of a layer as mega MoE reads them, shared experts behind."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.fp4_operands import is_fp4_pair, is_packed_fp4
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.mega_moe_params import FP4, FP8
from jax_deepgemm.mega_moe_weight_arguments import (
  checked_weights,
  shape_of_weight,
)
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.scaled_array import ScaledArray

_BLOCK = 128  # Elements that a scale, or a word of four, is for.
_SHARED = ("shared_l1", "shared_l2")


def transform_weights_for_mega_moe(
  l1_weights: Any,
  l2_weights: Any,
  activation: str = "swiglu",
  *,
  shared_l1: Any = None,
  shared_l2: Any = None,
) -> tuple[Operand, Operand]:
  """Returns the weights as `fp8_mega_moe` and its kin read them.

  Which is as they are: rows of gate and then those of up, scales in float32. It
  checks that they fit each other and unpacks exponents, so that code written
  for DeepGEMM works.

  Shared experts are put behind the others, a copy of all: call it once, not in
  each step, and inside `jax.shard_map`, where g is the experts of a rank. One
  whose intermediate is n times that of the others is cut into n experts, whose
  results add up to its own; they count as n in num_shared_experts.

  Args:
    l1_weights: `[g, 2 intermediate, hidden]`: bfloat16, or codes with scales
      per 128 x 128, or FP4 as `fp8_fp4_mega_moe` takes it.
    l2_weights: `[g, hidden, intermediate]`, likewise.
    activation: "swiglu".
    shared_l1: `[s, 2 n intermediate, hidden]`, in the form of l1_weights, the
      rows of gate and then those of up; or None.
    shared_l2: `[s, hidden, n intermediate]`, likewise.

  Returns:
    Weights of g experts, or of g + s n.

  Raises:
    TypeError: the form or dtype of a weight is wrong, or one of two shared
      weights is missing.
    ValueError: a shape is wrong, or the activation is another.
  """
  if activation != "swiglu":
    raise ValueError(f"activation must be 'swiglu', got {activation!r}")
  is_fp4 = is_fp4_pair("l1_weights", l1_weights) or is_fp4_pair(
    "l2_weights", l2_weights
  )
  mma_type = FP4 if is_fp4 else FP8
  routed = checked_weights(l1_weights, l2_weights, mma_type)
  _check_both_have_scales(routed, "l1_weights and l2_weights")
  if (shared_l1 is None) != (shared_l2 is None):
    raise TypeError("shared_l1 and shared_l2 must both be given, or neither")
  if shared_l1 is None:
    return routed
  shared = checked_weights(shared_l1, shared_l2, mma_type, _SHARED)
  _check_both_have_scales(shared, "shared_l1 and shared_l2")
  _check_forms(routed, shared)
  count = _cuts(routed, shared)
  l1 = jax.tree.map(lambda x: _cut_rows(x, count), shared[0])
  l2 = jax.tree.map(lambda x: _cut_columns(x, count), shared[1])
  return _joined(routed[0], l1), _joined(routed[1], l2)


def _check_both_have_scales(
  weights: tuple[Operand, Operand], names: str
) -> None:
  l1, l2 = weights
  if isinstance(l1, ScaledArray) != isinstance(l2, ScaledArray):
    raise TypeError(f"{names} must both have scales, or neither")


def _check_forms(
  routed: tuple[Operand, Operand], shared: tuple[Operand, Operand]
) -> None:
  for name, ours, theirs in zip(_SHARED, routed, shared, strict=True):
    if _form(ours) != _form(theirs):
      raise TypeError(
        f"{name} must be {_form(ours)}, as {name[-2:]}_weights are, got"
        f" {_form(theirs)}"
      )


def _form(weight: Operand) -> str:
  if isinstance(weight, ScaledArray):
    return "FP4" if is_packed_fp4(weight) else "codes with scales"
  return weight.dtype.name


def _cuts(
  routed: tuple[Operand, Operand], shared: tuple[Operand, Operand]
) -> int:
  """Returns how many experts a shared one becomes."""
  _, two_i, hidden = shape_of_weight(routed[0])
  shape = shape_of_weight(shared[0])
  if not two_i or shape[1] % two_i or shape[2] != hidden:
    raise ValueError(
      "shared_l1 must have shape [s, 2 n intermediate, hidden] with"
      f" intermediate = {two_i // 2} and hidden = {hidden}, those of"
      f" l1_weights, got {shape}"
    )
  count = shape[1] // two_i
  has_scales = isinstance(shared[0], ScaledArray)
  if count > 1 and has_scales and two_i // 2 % _BLOCK:
    raise ValueError(
      f"shared_l1 must have intermediate = {two_i // 2}, that of l1_weights, as"
      f" scales are for {_BLOCK} elements and cannot be cut there, got"
      f" {shape[1] // 2}"
    )
  return count


def _cut_rows(x: jax.Array, count: int) -> jax.Array:
  """Returns x `[s, 2 count r, c]` as `[s count, 2 r, c]`, up cut as gate."""
  experts, rows, columns = x.shape
  x = x.reshape(experts, 2, count, rows // (2 * count), columns)
  return x.swapaxes(1, 2).reshape(experts * count, rows // count, columns)


def _cut_columns(x: jax.Array, count: int) -> jax.Array:
  """Returns x `[s, r, count c]` as `[s count, r, c]`."""
  experts, rows, columns = x.shape
  x = x.reshape(experts, rows, count, columns // count)
  return x.swapaxes(1, 2).reshape(experts * count, rows, columns // count)


def _joined(routed: Operand, shared: Operand) -> Operand:
  return jax.tree.map(
    lambda *parts: jnp.concatenate(to_common_varying(parts)), routed, shared
  )
