"""Einsums of quantised arrays that are a GEMM for each head."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.einsum import checked_addend, over_heads
from jax_deepgemm.einsum_expression import Expression, layout, parse
from jax_deepgemm.gemm import gemm_of_layout
from jax_deepgemm.gemm_arguments import checked_out
from jax_deepgemm.gemm_operands import (
  PACKED_PER_INT32,
  Operand,
  as_array,
  as_pair,
  check_rank,
  values_of,
)
from jax_deepgemm.primitives.memory_order import MemoryOrder
from jax_deepgemm.recipes import Granularity, resolve_recipes
from jax_deepgemm.scaled_array import ScaledArray

# The layout of a product of one head, and the dimension of heads of a and b and
# of the result.
_EXPRESSIONS = {
  "bhr,hdr->bhd": ("nt", (1, 0), 1),
  "bhd,hdr->bhr": ("nn", (1, 0), 1),
  "bhd,bhr->hdr": ("tn", (1, 1), 0),
}


def fp8_einsum(
  expr: str,
  a: Any,
  b: Any,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike | None = None,
  recipe: Sequence[int] | None = None,
) -> jax.Array:
  """Returns `c + jnp.einsum(expr, dequantize(a), dequantize(b))`.

  One of

    bhr,hdr->bhd  D[b, h, d] = sum_r A[b, h, r] B[h, d, r]
    bhd,hdr->bhr  D[b, h, r] = sum_d A[b, h, d] B[h, d, r]
    bhd,bhr->hdr  D[h, d, r] = sum_b A[b, h, d] B[b, h, r]

  in any letters, with spaces or without: for each h `fp8_gemm_nt`, `_nn` and
  `_tn`, in one launch. Operands, recipes, gradients, precision and shardings
  are as there. Scales have the dimensions of their values, one for as many
  elements as the recipe says: of rows (gran_m of a, gran_n of b), which are all
  dimensions but h and the one that is summed, and gran_k of the latter.

  Hopper multiplies fp8 along the contiguous dimension only. The first
  expression is computed as the arrays lie, and a result of b first costs
  nothing; in the second XLA transposes b, in the third a and b, a byte for an
  element, and where there is c in the first two, c and the result. Plain a of
  the first two is cast where it lies; of the third, and in backward passes, XLA
  first makes a copy with h in front. Scales are always laid out again, 1 / 32
  of the bytes.

  Args:
    expr: as above.
    a: a pair (values, scales), or a plain array.
    b: likewise.
    c: of the result's shape, in `out_dtype`, added before it is rounded.
    out_dtype: bfloat16 or float32; by default c's, or bfloat16 without c.
    recipe: (gran_m, gran_n, gran_k), by default (1, 128, 128); (1, 1, 128) is
      usual for the third expression.

  Returns:
    The result, in `out_dtype`.

  Raises:
    TypeError: the form or dtype of an argument is wrong, or a gradient of a
      quantised operand is asked for.
    ValueError: the expression is none of these, or a shape or recipe is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or there is no kernel for the recipe on Hopper.
  """
  found = parse(expr, tuple(_EXPRESSIONS))
  recipe_a, recipe_b = resolve_recipes(recipe, None, None)
  a = _checked_operand("a", a, found, recipe_a)
  b = _checked_operand("b", b, found, recipe_b)
  dtype = checked_out(out_dtype, c)
  c = checked_addend(found, values_of(a), values_of(b), c, dtype)
  gemm_layout, operand_axes, result_axis = _EXPRESSIONS[found.name]
  product = functools.partial(
    gemm_of_layout,
    gemm_layout,
    out_dtype=dtype,
    recipe=None,
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    memory=MemoryOrder(d_groups_inside=result_axis == 1),
  )
  return over_heads(product, operand_axes, result_axis, a, b, c)


def _checked_operand(
  name: str, operand: Any, expression: Expression, recipe: Granularity
) -> Operand:
  """Returns the operand as a pair or an array, whose dimensions are right.

  What else it must be is checked where a head's product is made.

  Args:
    name: "a" or "b".
    operand: what was given.
    expression: its dimensions, and which of them is summed.
    recipe: (gran_mn, gran_k) of its scales.

  Raises:
    TypeError: values or scales are no arrays.
    ValueError: a rank, or the shape of the scales, is wrong.
  """
  letters = getattr(expression, name)
  pair = as_pair(name, operand)
  if pair is None:
    if hasattr(operand, "ndim"):
      check_rank(name, operand, layout(letters))
    return operand
  values, scales = (
    as_array(f"{part} of {name}", x) for part, x in pair.items()
  )
  check_rank(f"values of {name}", values, layout(letters))
  expected = [
    ceil_div(size, _granularity(letter, expression, recipe))
    for letter, size in zip(letters, values.shape, strict=True)
  ]
  if scales.dtype == jnp.int32:
    k = letters.index(expression.summed)
    expected[k] = ceil_div(expected[k], PACKED_PER_INT32)
  if scales.shape != tuple(expected):
    raise ValueError(
      f"{scales.dtype.name} scales of {name} must have shape"
      f" {tuple(expected)} for values {layout(letters)} of shape"
      f" {values.shape} and granularity (rows, k) = {recipe}, got"
      f" {scales.shape}"
    )
  return ScaledArray(values, scales)


def _granularity(
  letter: str, expression: Expression, recipe: Granularity
) -> int:
  """Returns how many elements along a dimension share a scale."""
  if letter == expression.summed:
    return recipe[1]
  return 1 if letter == expression.head else recipe[0]
