"""The BF16 GEMM as a primitive: its types, derivatives and transformations.

Two primitives of one meaning, as for the fp8 GEMM: `bf16_gemm_p` may still be
partitioned by XLA, `bf16_gemm_local_p` is one device's share. Both are linear
in each operand, and their derivatives are BF16 GEMMs.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import gemm_batching, gemm_partitioning
from jax_deepgemm.primitives.bf16_gemm_lowering import LOWERING
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder

bf16_gemm_p = Primitive("bf16_gemm")
bf16_gemm_local_p = Primitive("bf16_gemm_local")


def bf16_gemm(
  a: jax.Array,
  b: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike,
  a_mn_major: bool,
  b_mn_major: bool,
  options: Options,
  memory: MemoryOrder = ROW_MAJOR,
) -> jax.Array:
  """Returns c + sum_k a[g, m, k] * b[g, n, k].

  The group dimension may be absent, from all operands alike.

  Args:
    a: bfloat16 `[g, m, k]`, or `[g, k, m]` if `a_mn_major`.
    b: bfloat16 `[g, n, k]`, or `[g, k, n]` if `b_mn_major`.
    c: `[g, m, n]` in `out_dtype`, or None for zero.
    out_dtype: bfloat16 or float32.
    a_mn_major: how `a` lies.
    b_mn_major: how `b` lies.
    options: in force when the public function was called.
    memory: where operands lie once a vmap has made them groups, and the result
      shall; the batching rule adds what it finds.

  Returns:
    `[g, m, n]` in `out_dtype`; any size may be zero.
  """
  return _bind(
    (a, b) if c is None else (a, b, c),
    out_dtype=jnp.dtype(out_dtype),
    a_mn_major=a_mn_major,
    b_mn_major=b_mn_major,
    options=options,
    memory=memory,
  )


def form_of(*, a_mn_major: bool, b_mn_major: bool, **params: Any) -> GemmForm:
  """Returns how the operands lie, from the primitive's parameters."""
  del params
  return GemmForm(arrays=1, a_k_first=a_mn_major, b_k_first=b_mn_major)


def _bind(operands: Sequence[jax.Array], **params: Any) -> jax.Array:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = bf16_gemm_local_p if is_manual else bf16_gemm_p
  return _bind_unless_empty(primitive, operands, **params)


def _bind_unless_empty(
  primitive: Primitive, operands: Sequence[jax.Array], **params: Any
) -> jax.Array:
  """Binds, except for empty products: no kernel is launched for those."""
  a, b, *c = operands
  if 0 in (*a.shape, *b.shape):
    if c:
      return c[0]
    form = form_of(**params)
    shape = (*form.of_a(a.shape)[:-1], form.of_b(b.shape)[-2])
    return jnp.zeros(shape, params["out_dtype"])
  return primitive.bind(*operands, **params)


def _abstract_eval(
  a: ShapedArray, b: ShapedArray, *c: ShapedArray, out_dtype: Any, **params: Any
) -> ShapedArray:
  del c
  form = form_of(**params)
  spec = (*form.of_a(a.sharding.spec)[:-1], form.of_b(b.sharding.spec)[-2])
  # From an operand, so that inside shard_map the result varies as it does.
  return a.update(
    shape=(*form.of_a(a.shape)[:-1], form.of_b(b.shape)[-2]),
    dtype=out_dtype,
    weak_type=False,
    sharding=a.sharding.update(spec=jax.sharding.PartitionSpec(*spec)),
  )


def _jvp(
  primitive: Primitive,
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  **params: Any,
) -> tuple[jax.Array, Any]:
  """The product rule; each product is rounded to the result's dtype."""
  a, b, *_ = primals
  result = primitive.bind(*primals, **params)
  terms = []
  if not isinstance(tangents[0], ad.Zero):
    terms.append(primitive.bind(tangents[0], b, **params))
  if not isinstance(tangents[1], ad.Zero):
    terms.append(primitive.bind(a, tangents[1], **params))
  terms += [t for t in tangents[2:] if not isinstance(t, ad.Zero)]
  if not terms:
    return result, ad.Zero(jax.typeof(result).to_tangent_aval())
  return result, functools.reduce(jnp.add, terms)


def _transpose(
  primitive: Primitive, ct: Any, a: Any, b: Any, *c: Any, **params: Any
) -> tuple[Any, ...]:
  """Returns the cotangents of the operand that is linear, and of c.

  The cotangent is rounded to bfloat16, which the kernel multiplies.
  """
  if isinstance(ct, ad.Zero):
    return tuple(
      ad.Zero(x.aval) if ad.is_undefined_primal(x) else None for x in (a, b, *c)
    )
  dy = ct.astype(jnp.bfloat16)
  a_mn, b_mn = params["a_mn_major"], params["b_mn_major"]
  gradient = params | {"out_dtype": jnp.dtype("bfloat16")}
  memory = params["memory"]
  # What lies how the operands and the result of this product do.
  a_in, b_in = memory.a_groups_inside, memory.b_groups_inside
  d_in = memory.d_groups_inside and not c

  def bind(
    d_inside: bool,
    x: Any,
    x_mn: bool,
    x_inside: bool,
    y: Any,
    y_mn: bool,
    y_inside: bool,
  ) -> jax.Array:
    layout = {
      "a_mn_major": x_mn,
      "b_mn_major": y_mn,
      "memory": MemoryOrder(x_inside, y_inside, d_inside),
    }
    return primitive.bind(x, y, **(gradient | layout))

  # Rows of a product's operands are what it keeps: dy `[m, n]` has m in rows,
  # or n if it is taken as MN-major. b `[n, k]` has k in rows as MN-major.
  da = db = None
  if ad.is_undefined_primal(a):
    factors = [(dy, False, d_in), (b, not b_mn, b_in)]
    da = bind(a_in, *factors[a_mn], *factors[not a_mn])
  if ad.is_undefined_primal(b):
    factors = [(dy, True, d_in), (a, not a_mn, a_in)]
    db = bind(b_in, *factors[b_mn], *factors[not b_mn])
  return da, db, *(ct if ad.is_undefined_primal(x) else None for x in c)


def _batch(
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  **params: Any,
) -> tuple[jax.Array, int]:
  form = form_of(**params)
  return gemm_batching.batch_shards(form, _bind, operands, dims, **params)


for _primitive in (bf16_gemm_p, bf16_gemm_local_p):
  _primitive.def_impl(functools.partial(xla.apply_primitive, _primitive))
  _primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[_primitive] = functools.partial(_jvp, _primitive)
  ad.primitive_transposes[_primitive] = functools.partial(
    _transpose, _primitive
  )
  batching.primitive_batchers[_primitive] = _batch

mlir.register_lowering(bf16_gemm_local_p, LOWERING.default)
mlir.register_lowering(bf16_gemm_local_p, LOWERING.cuda, platform="cuda")
mlir.register_lowering(
  bf16_gemm_p,
  functools.partial(
    gemm_partitioning.lower,
    form_of,
    functools.partial(_bind_unless_empty, bf16_gemm_local_p),
  ),
)
gemm_partitioning.require_devices(bf16_gemm_p)
