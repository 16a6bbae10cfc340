"""K-grouped GEMMs as primitives: types, derivative in c, vmap, lowering.

Their operands are in the kernels' layouts: FP8 with K last, packed
(k_grouped_packing.py), BF16 with K first, as they are. XLA does not partition
them: outside `shard_map` every device computes the whole result.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, xla

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  k_grouped_reference,
  sm90_k_grouped_bf16_gemm,
  sm90_k_grouped_fp8_gemm,
)
from jax_deepgemm.primitives.k_grouped_gemm_lowering import Rules, register
from jax_deepgemm.primitives.varying import to_common_varying

k_grouped_fp8_gemm_p = Primitive("k_grouped_fp8_gemm")
k_grouped_bf16_gemm_p = Primitive("k_grouped_bf16_gemm")


def k_grouped_fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike = jnp.float32,
  options: Options,
) -> jax.Array:
  """Returns c_g + dequantize(a_g) @ dequantize(b_g).T, `[g, m, n]`.

  Args:
    a: `[m, k_padded]` float8_e4m3fn; group g begins at the multiple of 128 at
      which the group before it, padded with zeros, ends.
    sfa: `[k_padded / 128, align(m, 4)]` float32, finite within groups.
    b: `[n, k_padded]` float8_e4m3fn.
    sfb: `[k_padded / 128, align(n, 4)]` float32.
    group_sizes: `[g]` int32, elements of K in each group, without padding.
    c: `[g, m, n]` float32, or None for zero.
    out_dtype: of the result; sums are float32.
    options: in force when the public function was called.
  """
  shape = (group_sizes.shape[0], a.shape[0], b.shape[0])
  operands = (a, sfa, b, sfb, group_sizes)
  return _bind(k_grouped_fp8_gemm_p, operands, c, shape, out_dtype, options)


def k_grouped_bf16_gemm(
  a: jax.Array,
  b: jax.Array,
  group_starts: jax.Array,
  group_sizes: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike = jnp.float32,
  options: Options,
) -> jax.Array:
  """Returns c_g + a_g.T @ b_g, `[g, m, n]`.

  Args:
    a: `[k, m]` bfloat16; rows of no group may hold anything.
    b: `[k, n]` bfloat16.
    group_starts: `[g]` int32, first row of each group; they ascend.
    group_sizes: `[g]` int32, rows of each group.
    c: `[g, m, n]` float32, or None for zero.
    out_dtype: of the result; sums are float32.
    options: in force when the public function was called.
  """
  shape = (group_sizes.shape[0], a.shape[1], b.shape[1])
  operands = (a, b, group_starts, group_sizes)
  return _bind(k_grouped_bf16_gemm_p, operands, c, shape, out_dtype, options)


def _bind(
  primitive: Primitive,
  operands: Sequence[jax.Array],
  c: jax.Array | None,
  shape: tuple[int, int, int],
  out_dtype: jax.typing.DTypeLike,
  options: Options,
) -> jax.Array:
  """Binds, except for empty products: no kernel is launched for those.

  Kernels round to bfloat16 where nothing is added to the product. All else is
  cast from float32.
  """
  if 0 in (*shape, *operands[0].shape):
    return jnp.zeros(shape, out_dtype) if c is None else c.astype(out_dtype)
  is_rounded = c is None and out_dtype == jnp.bfloat16
  operands = operands if c is None else (*operands, c)
  d = primitive.bind(
    *to_common_varying(tuple(operands)),
    out_dtype=np.dtype(jnp.bfloat16 if is_rounded else jnp.float32),
    options=options,
  )
  return d.astype(out_dtype)


def _abstract_eval(
  num_inputs: int,
  k_axis: int,
  *operands: ShapedArray,
  out_dtype: np.dtype,
  options: Options,
) -> ShapedArray:
  del options
  # A and B, each with its scales if it has any, and what tells the groups.
  a, b = operands[0], operands[(num_inputs - 1) // 2]
  sizes = operands[num_inputs - 1]
  # From an operand, so that inside shard_map the result varies as it does.
  spec = jax.sharding.PartitionSpec(None, None, None)
  return a.update(
    shape=(sizes.shape[0], a.shape[1 - k_axis], b.shape[1 - k_axis]),
    dtype=out_dtype,
    weak_type=False,
    sharding=a.sharding.update(spec=spec),
  )


def _jvp(
  primitive: Primitive,
  num_inputs: int,
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  **params: Any,
) -> tuple[jax.Array, Any]:
  """Linear in c, which is all that can be differentiated here."""
  if not all(isinstance(t, ad.Zero) for t in tangents[:num_inputs]):
    raise TypeError(
      f"{primitive.name} has a gradient in c only, none in a and b; use"
      " jax.lax.stop_gradient of them"
    )
  result = primitive.bind(*primals, **params)
  if len(tangents) > num_inputs:
    return result, tangents[num_inputs]
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())


def _batch(
  primitive: Primitive,
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  **params: Any,
) -> tuple[jax.Array, int]:
  """Returns one product after the other: each has group sizes of its own."""
  batched = [
    jnp.moveaxis(x, d, 0)
    for x, d in zip(operands, dims, strict=True)
    if d is not None
  ]

  def compute(elements: list[jax.Array]) -> jax.Array:
    element = iter(elements)
    return primitive.bind(
      *(
        x if d is None else next(element)
        for x, d in zip(operands, dims, strict=True)
      ),
      **params,
    )

  return jax.lax.map(compute, batched), 0


def _define(
  primitive: Primitive, num_inputs: int, k_axis: int, rules: Rules
) -> None:
  """Gives a primitive of `num_inputs` operands, and c, its rules."""
  primitive.def_impl(functools.partial(xla.apply_primitive, primitive))
  primitive.def_abstract_eval(
    functools.partial(_abstract_eval, num_inputs, k_axis)
  )
  ad.primitive_jvps[primitive] = functools.partial(_jvp, primitive, num_inputs)
  batching.primitive_batchers[primitive] = functools.partial(_batch, primitive)
  register(primitive, rules)


_define(
  k_grouped_fp8_gemm_p,
  5,
  1,
  Rules(
    reference=k_grouped_reference.k_grouped_fp8_gemm,
    kernel=sm90_k_grouped_fp8_gemm.run,
  ),
)
_define(
  k_grouped_bf16_gemm_p,
  4,
  0,
  Rules(
    reference=k_grouped_reference.k_grouped_bf16_gemm,
    kernel=sm90_k_grouped_bf16_gemm.run,
  ),
)
