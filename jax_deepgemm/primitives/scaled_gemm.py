"""GEMMs of quantised operands as primitives: the rules that they share.

Two primitives of one meaning. One may still be partitioned by XLA, so its
lowering must know the devices; the other, `..._local`, is one device's share:
what is bound where every mesh axis is manual, and what the first lowers to.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla

from jax_deepgemm.primitives import gemm_batching, gemm_partitioning
from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.gemm_lowering import Lowering

Bind = Callable[..., jax.Array]


def quantized_gradient_message(name: str) -> str:
  """Returns why operand `name` has no gradient, and what to do about it."""
  return (
    f"{name} is quantised and has no gradient, because rounding to"
    " float8_e4m3fn has none; pass the plain bfloat16 or float32 array as"
    f" {name} (it is quantised inside, and its gradient is that of the"
    " unquantised product), or jax.lax.stop_gradient of values and scales"
  )


def make_primitives(
  lowering: Lowering,
  form_of: Callable[..., GemmForm],
  names: tuple[str, str] = ("a", "b"),
) -> Bind:
  """Returns what binds `[a, sfa, b, sfb]`, perhaps with c, and parameters.

  Args:
    lowering: the rules of one device; its name is that of the primitive.
    form_of: the form of the operands, from the primitive's parameters.
    names: of a and b, for messages.
  """
  primitive = Primitive(lowering.name)
  local = Primitive(f"{lowering.name}_local")
  bind = functools.partial(_bind, primitive, local)
  for each in (primitive, local):
    each.def_impl(functools.partial(xla.apply_primitive, each))
    each.def_abstract_eval(_abstract_eval)
    ad.primitive_jvps[each] = functools.partial(_jvp, each, names)
    batching.primitive_batchers[each] = functools.partial(_batch, bind, form_of)
  mlir.register_lowering(local, lowering.default)
  mlir.register_lowering(local, lowering.cuda, platform="cuda")
  bind_local = functools.partial(_bind_unless_empty, local)
  mlir.register_lowering(
    primitive, functools.partial(gemm_partitioning.lower, form_of, bind_local)
  )
  gemm_partitioning.require_devices(primitive)
  return bind


def _bind(
  primitive: Primitive,
  local: Primitive,
  operands: Sequence[jax.Array],
  **params: Any,
) -> jax.Array:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  return _bind_unless_empty(
    local if is_manual else primitive, operands, **params
  )


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


def _jvp(
  primitive: Primitive,
  names: tuple[str, str],
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  **params: Any,
) -> tuple[jax.Array, Any]:
  """Linear in c, which is all that can be differentiated here."""
  for i, tangent in enumerate(tangents[:4]):
    if not isinstance(tangent, ad.Zero):
      raise TypeError(quantized_gradient_message(names[i // 2]))
  result = primitive.bind(*primals, **params)
  if len(tangents) == 5:
    return result, tangents[4]
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())


def _batch(
  bind: Bind,
  form_of: Callable[..., GemmForm],
  operands: Sequence[jax.Array],
  dims: Sequence[int | None],
  **params: Any,
) -> tuple[jax.Array, int]:
  form = form_of(**params)
  return gemm_batching.batch_shards(form, bind, operands, dims, **params)
