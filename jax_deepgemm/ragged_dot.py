"""Ragged dot products in FP8 with gradients, for training."""

from typing import Any

import jax

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
  """Returns `jax.lax.ragged_dot(lhs, rhs, group_sizes)` in FP8.

  Row i of the result is lhs[i] @ rhs[g] where i is in group g; groups are
  consecutive ranges of rows of any size, as the experts of a mixture have them.
  Rows past the last group are zero in the result and in the gradient of lhs,
  and may hold anything, NaN too, in lhs and in the cotangent.

  Casts, gradients, residuals and `main_grad` are those of `fp8_dot_general`;
  the columns of lhs and of the cotangent are cast group by group, so that the
  gradient of rhs[g] depends on its own rows alone. Nothing waits for the host:
  sizes are values of the device. A forward and backward pass is eight launches
  on a Hopper GPU. `vmap` is a loop of launches.

  Under explicit sharding n stays sharded as that of rhs where shards hold
  whole blocks of 128, all else is gathered; under automatic sharding XLA
  gathers the operands of the kernels. Rows, k and groups are sharded by
  `jax.shard_map`.

  Args:
    lhs: `[m, k]` bfloat16, float16 or float32.
    rhs: `[g, k, n]`, likewise.
    group_sizes: `[g]` integers; negative ones count as 0, and groups that do
      not fit into m rows are cut.
    precision: ignored; there for the signature.
    preferred_element_type: as in `fp8_dot_general`.
    group_offset: None; there for the signature.
    residuals: as in `fp8_dot_general`.
    main_grad: `[g, k, n]` float32, or None.

  Returns:
    `[m, n]`.

  Raises:
    TypeError: the dtype of an argument is wrong.
    ValueError: shapes do not match, and as in `fp8_dot_general`.
    NotImplementedError: group_offset is given; or
      options(implementation="kernel") and the GPU is not Hopper, or there are
      more than 1024 groups on Hopper.
  """
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
