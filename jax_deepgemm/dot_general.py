"""Dot products in FP8 with gradients, for training."""

from typing import Any

import jax

from jax_deepgemm import gemm_gradient, main_gradient
from jax_deepgemm.dot_arguments import (
  as_castable,
  checked_operand,
  checked_result_dtype,
  product_dtype,
)
from jax_deepgemm.dot_dimensions import DotDimensions, parse
from jax_deepgemm.dot_sharding import dot_over_mesh
from jax_deepgemm.explicit_sharding import explicit_mesh
from jax_deepgemm.gemm_gradient import GemmParams
from jax_deepgemm.options import current
from jax_deepgemm.residuals import checked_policy
from jax_deepgemm.straight_through import PER_BLOCK, PER_TOKEN


def fp8_dot_general(
  lhs: jax.Array,
  rhs: jax.Array,
  dimension_numbers: Any,
  precision: Any = None,
  preferred_element_type: jax.typing.DTypeLike | None = None,
  *,
  out_sharding: Any = None,
  residuals: str = "fp8",
  main_grad: jax.Array | None = None,
) -> jax.Array:
  """Returns `jax.lax.dot_general(lhs, rhs, dimension_numbers)` in FP8."""
  del precision
  lhs, rhs = checked_operand("lhs", lhs), checked_operand("rhs", rhs)
  result_dtype = checked_result_dtype(preferred_element_type, lhs, rhs)
  policy = checked_policy(residuals)
  main_grad = main_gradient.checked(main_grad, rhs.shape)
  dims = parse(dimension_numbers, lhs, rhs)
  params = GemmParams(
    product_dtype(result_dtype),
    PER_TOKEN,
    PER_BLOCK,
    current(),
    b_mn_major=dims.rhs.is_mn_major,
    residuals=policy,
  )
  lhs, rhs = as_castable(lhs), as_castable(rhs)
  mesh = explicit_mesh(lhs, rhs, main_grad)
  if mesh is None:
    result = _product(lhs, rhs, main_grad, dims, params)
  else:
    result = dot_over_mesh(_product, mesh, lhs, rhs, main_grad, dims, params)
  result = result.astype(result_dtype)
  if out_sharding is not None:
    result = jax.sharding.reshard(result, out_sharding)
  return result


def _product(
  lhs: jax.Array,
  rhs: jax.Array,
  main_grad: jax.Array | None,
  dims: DotDimensions,
  params: GemmParams,
) -> jax.Array:
  """Returns the product of one device's operands."""
  a = dims.lhs.flattened(lhs, False)
  b = dims.rhs.flattened(rhs, params.b_mn_major)
  if main_grad is not None:
    main_grad = dims.rhs.flattened(main_grad, params.b_mn_major)

  def gemm(
    a: jax.Array, b: jax.Array, main_grad: jax.Array | None
  ) -> jax.Array:
    return gemm_gradient.gemm(a, b, None, params, main_grad)

  if dims.lhs.batch:
    # One launch: the batch becomes the group dimension.
    gemm = jax.vmap(gemm)
  shape = dims.result_shape(lhs.shape, rhs.shape)
  return jax.lax.reshape(gemm(a, b, main_grad), shape)
