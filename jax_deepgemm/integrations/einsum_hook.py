"""An einsum of two operands that keeps them in their order.

`jnp.einsum` may swap its operands, and then weights would have the scales of
activations: a row's result would depend on other rows.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_FORM = re.compile(r"([A-Za-z]+),([A-Za-z]+)->([A-Za-z]*)")


def einsum(
  expression: str,
  lhs: jax.Array,
  rhs: jax.Array,
  *,
  dtype: Any,
  dot_general: Callable[..., jax.Array],
) -> jax.Array:
  """Returns `jnp.einsum(expression, lhs, rhs)` by one dot product.

  Args:
    expression: letters of lhs, of rhs and of the result; each letter of an
      operand is in the other one or in the result.
    lhs: activations.
    rhs: weights.
    dtype: that operands are converted to.
    dot_general: computes the product.

  Raises:
    NotImplementedError: the expression has another form.
    ValueError: it does not fit the operands.
  """
  found = _FORM.fullmatch(expression.replace(" ", ""))
  if found is None or not _is_product(*found.groups()):
    raise NotImplementedError(
      "einsum takes two operands, 'EBCM,EMH->EBCH' say, without ellipsis,"
      f" repeated letters or sums over one operand; got {expression!r}: use"
      " jnp.einsum for it"
    )
  left, right, result = found.groups()
  if (len(left), len(right)) != (lhs.ndim, rhs.ndim):
    raise ValueError(
      f"einsum {expression!r} does not fit operands of shapes {lhs.shape} and"
      f" {rhs.shape}"
    )
  batch = [x for x in left if x in right and x in result]
  contracted = [x for x in left if x in right and x not in result]
  places = [
    tuple(tuple(side.index(x) for x in letters) for side in (left, right))
    for letters in (contracted, batch)
  ]
  y = dot_general(lhs.astype(dtype), rhs.astype(dtype), tuple(places))
  order = [x for x in left + right if x not in contracted and x not in batch]
  order = batch + order
  return jnp.transpose(y, [order.index(x) for x in result])


def _is_product(left: str, right: str, result: str) -> bool:
  """Whether it is a dot product of two operands, transposed."""
  operands, free = (left, right), set(left) ^ set(right)
  is_once = all(len(set(x)) == len(x) for x in (*operands, result))
  return is_once and free <= set(result) <= set(left + right)
