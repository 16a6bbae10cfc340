"""Ragged dot products in FP8 with gradients, for training."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm import main_gradient
from jax_deepgemm.dot_arguments import (
  as_castable,
  checked_group_sizes,
  checked_operand,
  checked_result_dtype,
  product_dtype,
)
from jax_deepgemm.explicit_sharding import explicit_mesh
from jax_deepgemm.grouped_gradient import GroupedParams, grouped_gemm
from jax_deepgemm.grouped_sharding import grouped_gemm_over_mesh
from jax_deepgemm.options import current
from jax_deepgemm.residuals import checked_policy
from jax_deepgemm.straight_through import PER_BLOCK, PER_TOKEN


def fp8_ragged_dot(
  lhs: jax.Array,
  rhs: jax.Array,
  group_sizes: jax.Array,
  precision: Any = None,
  preferred_element_type: jax.typing.DTypeLike | None = None,
  group_offset: jax.Array | None = None,
  *,
  residuals: str = "fp8",
  main_grad: jax.Array | None = None,
) -> jax.Array:
  """Returns `jax.lax.ragged_dot(lhs, rhs, group_sizes)` in FP8."""
  del precision
  if group_offset is not None:
    raise NotImplementedError(
      "group_offset must be None: give rhs and group_sizes of the groups at"
      " hand, and lhs[jnp.sum(group_sizes_before):], whose further rows may"
      " hold anything"
    )
  lhs, rhs = checked_operand("lhs", lhs), checked_operand("rhs", rhs)
  result_dtype = checked_result_dtype(preferred_element_type, lhs, rhs)
  group_sizes = _checked_shapes(lhs, rhs, group_sizes)
  main_grad = main_gradient.checked(main_grad, rhs.shape)
  params = GroupedParams(
    out_dtype=product_dtype(result_dtype),
    recipe_a=PER_TOKEN,
    recipe_b=PER_BLOCK,
    layout="ragged",
    alignment=1,
    expected_m=None,
    zero_padding=False,
    options=current(),
    b_mn_major=True,
    residuals=checked_policy(residuals),
  )
  operands = (as_castable(lhs), as_castable(rhs), group_sizes)
  mesh = explicit_mesh(*operands)
  if mesh is not None:
    result = grouped_gemm_over_mesh(mesh, *operands, params, main_grad)
  else:
    result = grouped_gemm(*operands, params, main_grad)
  return result.astype(result_dtype)


def _checked_shapes(
  lhs: jax.Array, rhs: jax.Array, group_sizes: Any
) -> jax.Array:
  """Returns group_sizes as int32, cut to the rows that there are."""
  if lhs.ndim != 2 or rhs.ndim != 3 or lhs.shape[1] != rhs.shape[1]:
    raise ValueError(
      "lhs and rhs must have shapes [m, k] and [g, k, n], got"
      f" {lhs.shape} and {rhs.shape}"
    )
  return checked_group_sizes(group_sizes, rhs.shape[0], lhs.shape[0])
