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
  """Returns `jax.lax.dot_general(lhs, rhs, dimension_numbers)` in FP8.

  For training: operands, result and gradients are plain arrays. Flattened to
  y = x w with x `[m, k]` and w `[k, n]`, all sums in float32,

    y  = Q(x) B(w)
    dx = Q(dy) B(w)^T
    dw = Q(x^T) Q(dy^T)^T

  where Q casts to float8_e4m3fn with a scale for 1 x 128 elements and B for
  128 x 128, both along the flattened dimensions. These are the gradients of
  the product without rounding. There are none of gradients, and no `jax.jvp`.

  A forward and backward pass is six launches on a Hopper GPU: x and dy are
  each cast once, along rows and columns, and w once for both of its products.
  Weights may lie `[k, n]`, as Flax has them, or `[n, k]`; where other dimension
  numbers call for a transpose XLA makes it, in the dtype of the operand. Any
  size may be zero. `vmap` and batch dimensions make one launch.

  *Residuals.* With "fp8" the backward pass reads x^T and w as they were cast in
  the forward pass, 1 byte for an element and no second read of x; with "bf16"
  it keeps x and w as they are and casts them again. What is kept of x has the
  name "fp8_activation", and w in FP8 "fp8_weight"
  (`jax.ad_checkpoint.checkpoint_name`), for policies of `jax.checkpoint` such
  as `save_only_these_names`; what those do not keep is computed again. Under
  "fp8" each weight of a scan over layers costs 1 byte more until its backward
  pass; "bf16" costs none.

  *Main gradients.* With `main_grad` the gradient of rhs is added to that array,
  by the product itself and in place where it is donated or carried: the
  cotangent of main_grad is main_grad + dw, that of rhs is zero, and the result
  does not depend on it. Two microbatches:

    def loss(x, w, main_grad):
      return fp8_dot_general(x, w, dims, main_grad=main_grad).var()

    main_grad = jnp.zeros(w.shape, jnp.float32)
    for x in microbatches:
      main_grad = jax.grad(loss, argnums=2)(x, w, main_grad)

  Each gradient adds to what it is given, so an array must enter one product,
  once: JAX adds up cotangents of an array that is used twice, by a scan say, or
  by the shards of a `shard_map` with check_vma=False that all have it, and
  would count main_grad as often. Inside `shard_map` with check_vma=True, under
  explicit and automatic sharding, shards are summed first.

  *Sharding.* Under explicit sharding every dimension stays as it is sharded
  where shards hold whole blocks of 128 of k and n, as flattened; otherwise it
  is gathered. Under automatic sharding that holds for the first of the free and
  of the contracted dimensions of an operand. A sharded k costs one float32
  psum, and data, column and row parallel layers send what a plain dot sends.

  Args:
    lhs: bfloat16, float16 or float32; float16 is computed as float32 is.
    rhs: likewise; the weight, if one is.
    dimension_numbers: ((lhs_contracting, rhs_contracting), (lhs_batch,
      rhs_batch)).
    precision: ignored; there for the signature.
    preferred_element_type: dtype of the result, one of those of lhs; by default
      that of the operands, float32 if they differ.
    out_sharding: where the result goes, on explicit mesh axes.
    residuals: what is kept for the backward pass, "fp8" or "bf16".
    main_grad: float32 of the shape of rhs, or None.

  Returns:
    Batch dimensions, free ones of lhs, free ones of rhs.

  Raises:
    TypeError: the dtype of an argument or the form of dimension_numbers is
      wrong.
    ValueError: dimensions or shapes do not match; residuals is neither; while
      differentiating: rhs is differentiated and main_grad is given and is not,
      or main_grad is shared by the elements of a vmap.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper.
  """
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
