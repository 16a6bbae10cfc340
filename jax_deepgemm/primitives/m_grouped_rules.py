"""What the m-grouped primitives share: types, derivatives, transformations.

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

from jax_deepgemm.primitives import m_grouped_batching, m_grouped_lowering
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message


def register(
  primitive: Primitive,
  jvp: Callable[..., Any],
  reference: Callable[..., jax.Array],
  kernel: Callable[..., jax.Array],
) -> None:
  """Registers the rules of `primitive`.

  Args:
    primitive: of operands a, b and group_layout, with their scales or without.
    jvp: its derivative, given the primitive, primals and tangents.
    reference: computes it in jax.numpy.
    kernel: computes it as a custom call.
  """
  primitive.def_impl(functools.partial(xla.apply_primitive, primitive))
  primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[primitive] = functools.partial(jvp, primitive)
  batching.primitive_batchers[primitive] = functools.partial(
    m_grouped_batching.batch, functools.partial(bind, primitive)
  )
  lower_default = functools.partial(
    m_grouped_lowering.lower_default, primitive.name, reference
  )
  lower_cuda = functools.partial(
    m_grouped_lowering.lower_cuda, reference, kernel
  )
  mlir.register_lowering(primitive, lower_default)
  mlir.register_lowering(primitive, lower_cuda, platform="cuda")


def bind(
  primitive: Primitive,
  operands: Sequence[jax.Array],
  *,
  out_dtype: jax.typing.DTypeLike,
  **params: Any,
) -> jax.Array:
  """Binds, except for empty products: no kernel is launched for those."""
  a, b = _a_and_b(operands)
  if 0 in (*a.shape, *b.shape):
    return jnp.zeros(_result_shape(a, b, params), out_dtype)
  return primitive.bind(*operands, out_dtype=jnp.dtype(out_dtype), **params)


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


def refuse_scaled_jvp(
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


def refuse_plain_jvp(
  primitive: Primitive,
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  **params: Any,
) -> tuple[jax.Array, Any]:
  """Returns the result; a and b get their gradients outside, from a VJP."""
  for tangent in tangents[:2]:
    if not isinstance(tangent, ad.Zero):
      raise NotImplementedError(
        f"{primitive.name} has first derivatives only: differentiate"
        " jax.lax.ragged_dot instead, which has all"
      )
  return _without_tangent(primitive, primals, params)


def _without_tangent(
  primitive: Primitive, primals: Sequence[jax.Array], params: dict[str, Any]
) -> tuple[jax.Array, Any]:
  result = primitive.bind(*primals, **params)
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())
