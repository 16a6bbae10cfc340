"""The m-grouped GEMMs as primitives: types, derivatives, transformations.

An array of several devices is gathered where XLA partitions the program; the
public functions shard what their operands' types say is sharded.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  m_grouped_batching,
  m_grouped_lowering,
  m_grouped_reference,
  sm90_m_grouped_bf16_gemm,
  sm90_m_grouped_fp8_fp4_gemm,
  sm90_m_grouped_fp8_gemm,
)
from jax_deepgemm.primitives.grouped_layout import Layout
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message

m_grouped_fp8_gemm_p = Primitive("m_grouped_fp8_gemm")
m_grouped_fp8_fp4_gemm_p = Primitive("m_grouped_fp8_fp4_gemm")
m_grouped_bf16_gemm_p = Primitive("m_grouped_bf16_gemm")


def m_grouped_fp8_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  *,
  out_dtype: jax.typing.DTypeLike,
  recipe_a: tuple[int, int],
  recipe_b: tuple[int, int],
  layout: Layout,
  alignment: int,
  expected_m: int | None,
  zero_padding: bool,
  options: Options,
) -> jax.Array:
  """Returns (a * sfa)[i] @ (b * sfb)[g].T in row i of group g, else zero.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked, float8_e4m3fn.
    sfa: `[(g,) ceil(m / gran_m), ceil(k / gran_k)]` float32.
    b: `[g, n, k]` float8_e4m3fn.
    sfb: `[g, ceil(n / gran_n), ceil(k / gran_k)]` float32.
    group_layout: int32, see `grouped_layout.group_of_rows`.
    out_dtype: bfloat16 or float32.
    recipe_a: (gran_m, gran_k) of `sfa`.
    recipe_b: (gran_n, gran_k) of `sfb`.
    layout: how `group_layout` is to be read.
    alignment: row multiple that groups start at; 1 if the layout has none.
    expected_m: rows that a group is expected to have; only a hint.
    zero_padding: rows past the end of a masked group are zero, not undefined.
    options: in force when the public function was called.

  Returns:
    `[m, n]` or `[g, m, n]` in `out_dtype`; any size may be zero.
  """
  return _bind(
    m_grouped_fp8_gemm_p,
    (a, sfa, b, sfb, group_layout),
    out_dtype=jnp.dtype(out_dtype),
    recipe_a=recipe_a,
    recipe_b=recipe_b,
    layout=layout,
    alignment=alignment,
    expected_m=expected_m,
    zero_padding=zero_padding,
    options=options,
  )


def m_grouped_fp8_fp4_gemm(
  a: jax.Array,
  sfa: jax.Array,
  b: jax.Array,
  sfb: jax.Array,
  group_layout: jax.Array,
  *,
  out_dtype: jax.typing.DTypeLike,
  layout: Layout,
  alignment: int,
  expected_m: int | None,
  zero_padding: bool,
  options: Options,
) -> jax.Array:
  """Returns (a * sfa)[i] @ (b * sfb)[g].T in row i of group g, else zero.

  Scales are as in `fp8_fp4_gemm`, the rest as in `m_grouped_fp8_gemm`.

  Args:
    a: `[m, k]`, or `[g, m, k]` if masked, float8_e4m3fn.
    sfa: `[(g,) m, ceil(k / 128)]` float32.
    b: `[g, n, ceil(k / 2)]` int8, two e2m1 codes each.
    sfb: `[g, n, ceil(k / 128)]` int32, four UE8M0 scales each.
    group_layout: as in `m_grouped_fp8_gemm`.
    out_dtype: as in `m_grouped_fp8_gemm`.
    layout: as in `m_grouped_fp8_gemm`.
    alignment: as in `m_grouped_fp8_gemm`.
    expected_m: as in `m_grouped_fp8_gemm`.
    zero_padding: as in `m_grouped_fp8_gemm`.
    options: as in `m_grouped_fp8_gemm`.
  """
  return _bind(
    m_grouped_fp8_fp4_gemm_p,
    (a, sfa, b, sfb, group_layout),
    out_dtype=jnp.dtype(out_dtype),
    layout=layout,
    alignment=alignment,
    expected_m=expected_m,
    zero_padding=zero_padding,
    options=options,
  )


def m_grouped_bf16_gemm(
  a: jax.Array,
  b: jax.Array,
  group_layout: jax.Array,
  *,
  out_dtype: jax.typing.DTypeLike,
  layout: Layout,
  alignment: int,
  expected_m: int | None,
  zero_padding: bool,
  options: Options,
  b_mn_major: bool = False,
) -> jax.Array:
  """Returns a[i] @ b[g].T in row i of group g; see `m_grouped_fp8_gemm`.

  With `b_mn_major` b is `[g, k, n]`, and the result a[i] @ b[g].
  """
  return _bind(
    m_grouped_bf16_gemm_p,
    (a, b, group_layout),
    b_mn_major=b_mn_major,
    out_dtype=jnp.dtype(out_dtype),
    layout=layout,
    alignment=alignment,
    expected_m=expected_m,
    zero_padding=zero_padding,
    options=options,
  )


def _bind(
  primitive: Primitive, operands: Sequence[jax.Array], **params: Any
) -> jax.Array:
  """Binds, except for empty products: no kernel is launched for those."""
  a, b = _a_and_b(operands)
  if 0 in (*a.shape, *b.shape):
    return jnp.zeros(_result_shape(a, b, params), params["out_dtype"])
  return primitive.bind(*operands, **params)


def _a_and_b(operands: Sequence[Any]) -> tuple[Any, Any]:
  """Returns a and b of either primitive's operands, scaled or not."""
  return operands[0], operands[len(operands) // 2]


def _result_shape(a: Any, b: Any, params: dict[str, Any]) -> tuple[int, ...]:
  n = b.shape[-1 if params.get("b_mn_major", False) else -2]
  return (*a.shape[:-1], n)


def _abstract_eval(
  *operands: ShapedArray, out_dtype: jnp.dtype, **params: Any
) -> ShapedArray:
  a, b = _a_and_b(operands)
  # From an operand, so that inside shard_map the result varies as it does.
  shape = _result_shape(a, b, params)
  spec = jax.sharding.PartitionSpec(*(None,) * len(shape))
  return a.update(
    shape=shape,
    dtype=out_dtype,
    weak_type=False,
    sharding=a.sharding.update(spec=spec),
  )


def _refuse_fp8_jvp(
  primitive: Primitive,
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  **params: Any,
) -> tuple[jax.Array, Any]:
  """Returns the result: no operand has a derivative."""
  for name, tangent in zip("aabb", tangents, strict=False):
    if not isinstance(tangent, ad.Zero):
      raise TypeError(quantized_gradient_message(name))
  return _without_tangent(primitive, primals, params)


def _refuse_bf16_jvp(
  primals: Sequence[jax.Array], tangents: Sequence[Any], **params: Any
) -> tuple[jax.Array, Any]:
  """Returns the result; a and b get their gradients outside, from a VJP."""
  for tangent in tangents[:2]:
    if not isinstance(tangent, ad.Zero):
      raise NotImplementedError(
        "m_grouped_bf16_gemm has first derivatives only: differentiate"
        " jax.lax.ragged_dot instead, which has all"
      )
  return _without_tangent(m_grouped_bf16_gemm_p, primals, params)


def _without_tangent(
  primitive: Primitive, primals: Sequence[jax.Array], params: dict[str, Any]
) -> tuple[jax.Array, Any]:
  result = primitive.bind(*primals, **params)
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())


def _register(
  primitive: Primitive,
  jvp: Callable[..., Any],
  reference: Callable[..., jax.Array],
  kernel: Callable[..., jax.Array],
) -> None:
  primitive.def_impl(functools.partial(xla.apply_primitive, primitive))
  primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[primitive] = jvp
  batching.primitive_batchers[primitive] = functools.partial(
    m_grouped_batching.batch, functools.partial(_bind, primitive)
  )
  lower_default = functools.partial(
    m_grouped_lowering.lower_default, primitive.name, reference
  )
  lower_cuda = functools.partial(
    m_grouped_lowering.lower_cuda, reference, kernel
  )
  mlir.register_lowering(primitive, lower_default)
  mlir.register_lowering(primitive, lower_cuda, platform="cuda")


_register(
  m_grouped_fp8_gemm_p,
  functools.partial(_refuse_fp8_jvp, m_grouped_fp8_gemm_p),
  m_grouped_reference.m_grouped_fp8_gemm,
  # Looked up at every lowering.
  lambda *x, **kwargs: sm90_m_grouped_fp8_gemm.run(*x, **kwargs),
)
_register(
  m_grouped_fp8_fp4_gemm_p,
  functools.partial(_refuse_fp8_jvp, m_grouped_fp8_fp4_gemm_p),
  m_grouped_reference.m_grouped_fp8_fp4_gemm,
  lambda *x, **kwargs: sm90_m_grouped_fp8_fp4_gemm.run(*x, **kwargs),
)
_register(
  m_grouped_bf16_gemm_p,
  _refuse_bf16_jvp,
  m_grouped_reference.m_grouped_bf16_gemm,
  lambda *x, **kwargs: sm90_m_grouped_bf16_gemm.run(*x, **kwargs),
)
