"""Gradients of the weights of `moe_mlp`, of factors in fp8 along groups."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align
from jax_deepgemm.k_grouped_gemm import fp8_product
from jax_deepgemm.k_grouped_packing import GroupRanges
from jax_deepgemm.main_gradient import accumulated
from jax_deepgemm.options import Options
from jax_deepgemm.scaled_array import ScaledArray


def weight_gradient(
  left: ScaledArray,
  right: ScaledArray,
  ranges: GroupRanges,
  main_grad: jax.Array | None,
  dtype: Any,
  options: Options,
) -> jax.Array:
  """Returns left_g @ right_g.T, `[g, m, n]` in dtype; added to main_grad.

  Args:
    left: `[m, padded]` with scales `[padded / 128, align(m, 4)]`.
    right: `[n, padded]`, likewise.
    ranges: of the groups.
    main_grad: `[g, m, n]` float32, or None.
    dtype: of the result without main_grad.
    options: of the forward pass.
  """

  def product(operands: Any, c: jax.Array | None, dtype: Any) -> jax.Array:
    left, right, ranges = operands
    return fp8_product(left, right, ranges, c, dtype, options)

  return accumulated(product, (left, right, ranges), main_grad, dtype)


def gate_up_gradient(
  left: ScaledArray,
  right: ScaledArray,
  ranges: GroupRanges,
  main_grads: tuple[jax.Array, ...],
  dtype: Any,
  options: Options,
) -> Any:
  """Returns the gradient of gate and up, or the main gradients with it added.

  Args:
    left: columns of x.
    right: columns of gate and up, one after the other.
    ranges: of the groups.
    main_grads: none, one for both, or one for each.
    dtype: of the result without main gradients.
    options: of the forward pass.
  """
  if not main_grads:
    return weight_gradient(left, right, ranges, None, dtype, options)
  count = right.values.shape[0] // len(main_grads)
  return tuple(
    weight_gradient(
      left,
      _rows(right, i * count, count),
      ranges,
      main_grad,
      dtype,
      options,
    )
    for i, main_grad in enumerate(main_grads)
  )


def _rows(x: ScaledArray, first: int, count: int) -> ScaledArray:
  """Returns some rows, with scales that lie as those of all."""
  if count == x.values.shape[0]:
    return x
  scales = x.scales[:, first : first + count]
  padding = ((0, 0), (0, align(count, 4) - count))
  return ScaledArray(x.values[first : first + count], jnp.pad(scales, padding))
