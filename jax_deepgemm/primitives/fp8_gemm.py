"""The fp8 GEMM as a primitive: its types, derivatives and transformations.

Two primitives of one meaning. `fp8_gemm_p` may still be partitioned by XLA, so
its lowering must know the devices; `fp8_gemm_local_p` is one device's share:
what is bound where every mesh axis is manual, and what the other lowers to.
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
from jax_deepgemm.primitives.fp8_gemm_lowering import LOWERING
from jax_deepgemm.primitives.gemm_form import GemmForm

fp8_gemm_p = Primitive("fp8_gemm")
fp8_gemm_local_p = Primitive("fp8_gemm_local")


def fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  c: jax.Array | None = None,
  *,
  out_dtype: jax.typing.DTypeLike,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
  options: Options,
) -> jax.Array:
  """Returns c + sum_k (a * sfa)[g, m, k] * (b * sfb)[g, n, k].

  The group dimension may be absent, from all operands alike.

  Args:
    a: `[g, m, k]` float8_e4m3fn.
    sfa: `[g, ceil(m / gran_m), ceil(k / gran_k)]` float32.
    b: `[g, n, k]` float8_e4m3fn.
    sfb: `[g, ceil(n / gran_n), ceil(k / gran_k)]` float32.
    c: `[g, m, n]` in `out_dtype`, or None for zero.
    out_dtype: bfloat16 or float32.
    recipe_a: (gran_m, gran_k) of `sfa`.
    recipe_b: (gran_n, gran_k) of `sfb`.
    options: in force when the public function was called.

  Returns:
    `[g, m, n]` in `out_dtype`; any size may be zero.
  """
  return _bind(
    (a, sfa, b, sfb) if c is None else (a, sfa, b, sfb, c),
    out_dtype=jnp.dtype(out_dtype),
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    options=options,
  )


def form_of(
  *, recipe_a: tuple[int, int], recipe_b: tuple[int, int], **params: Any
) -> GemmForm:
  """Returns how the operands lie, from the primitive's parameters."""
  del params
  return GemmForm(arrays=2, recipe_a=recipe_a, recipe_b=recipe_b)


def _bind(operands: Sequence[jax.Array], **params: Any) -> jax.Array:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = fp8_gemm_local_p if is_manual else fp8_gemm_p
  return _bind_unless_empty(primitive, operands, **params)


def _bind_unless_empty(
  primitive: Primitive, operands: Sequence[jax.Array], **params: Any
) -> jax.Array:
  """Binds, except for empty products: no kernel is launched for those."""
  a, _, b, *_ = operands
  if 0 in (*a.shape, *b.shape):
    if len(operands) == 5:
      return operands[4]
    return jnp.zeros((*a.shape[:-1], b.shape[-2]), params["out_dtype"])
  return primitive.bind(*operands, **params)


def _abstract_eval(
  a: ShapedArray,
  sfa: ShapedArray,
  b: ShapedArray,
  *others: ShapedArray,
  out_dtype: jnp.dtype,
  **params: Any,
) -> ShapedArray:
  del sfa, others, params
  # From an operand, so that inside shard_map the result varies as it does.
  spec = (*a.sharding.spec[:-1], b.sharding.spec[-2])
  return a.update(
    shape=(*a.shape[:-1], b.shape[-2]),
    dtype=out_dtype,
    weak_type=False,
    sharding=a.sharding.update(spec=jax.sharding.PartitionSpec(*spec)),
  )


def quantized_gradient_message(name: str) -> str:
  """Returns why operand `name` has no gradient, and what to do about it."""
  return (
    f"{name} is quantised and has no gradient, because rounding to"
    " float8_e4m3fn has none; pass the plain bfloat16 or float32 array as"
    f" {name} (it is quantised inside, and its gradient is that of the"
    " unquantised product), or jax.lax.stop_gradient of values and scales"
  )


def _jvp(
  primitive: Primitive,
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  **params: Any,
) -> tuple[jax.Array, Any]:
  """Linear in c, which is all that can be differentiated here."""
  for i, tangent in enumerate(tangents[:4]):
    if not isinstance(tangent, ad.Zero):
      raise TypeError(quantized_gradient_message("aabb"[i]))
  result = primitive.bind(*primals, **params)
  if len(tangents) == 5:
    return result, tangents[4]
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())


def _batch(
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  **params: Any,
) -> tuple[jax.Array, int]:
  form = form_of(**params)
  return gemm_batching.batch_shards(form, _bind, operands, dims, **params)


for _primitive in (fp8_gemm_p, fp8_gemm_local_p):
  _primitive.def_impl(functools.partial(xla.apply_primitive, _primitive))
  _primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[_primitive] = functools.partial(_jvp, _primitive)
  batching.primitive_batchers[_primitive] = _batch

mlir.register_lowering(fp8_gemm_local_p, LOWERING.default)
mlir.register_lowering(fp8_gemm_local_p, LOWERING.cuda, platform="cuda")
mlir.register_lowering(
  fp8_gemm_p,
  functools.partial(
    gemm_partitioning.lower,
    form_of,
    functools.partial(_bind_unless_empty, fp8_gemm_local_p),
  ),
)
gemm_partitioning.require_devices(fp8_gemm_p)
