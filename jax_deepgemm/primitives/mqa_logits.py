"""MQA logits as a primitive: types, derivative, batching.

As with GEMMs, two primitives of one meaning: XLA may still partition one, the
other is one device's share.
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
from jax_deepgemm.primitives import (
  gemm_partitioning,
  mqa_batching,
  mqa_lowering,
  mqa_partitioning,
)
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message

fp8_mqa_logits_p = Primitive("fp8_mqa_logits")
fp8_mqa_logits_local_p = Primitive("fp8_mqa_logits_local")

_OPERANDS = ("q", "kv", "kv", "weights")


def fp8_mqa_logits(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  *,
  form: MqaForm,
  options: Options,
) -> jax.Array:
  """Returns key_scales[j] * sum_h weights[i, h] * relu(q[i, h] . keys[j]).

  Args:
    q: `[s, h, d]` float8_e4m3fn.
    keys: `[k, d]` float8_e4m3fn.
    key_scales: `[k]` float32.
    weights: `[s, h]` float32.
    starts: `[s]` int32, first key of each row; any value.
    ends: `[s]` int32, one past the last.
    form: of the result.
    options: in force when the public function was called.
  """
  operands = (q, keys, key_scales, weights, starts, ends)
  return _bind(*operands, form=form, options=options)


def _bind(*operands: jax.Array, **params: Any) -> jax.Array:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = fp8_mqa_logits_local_p if is_manual else fp8_mqa_logits_p
  return _bind_unless_empty(primitive, *operands, **params)


def _bind_unless_empty(
  primitive: Primitive, *operands: jax.Array, form: MqaForm, options: Options
) -> jax.Array:
  """Binds, except where there is no key or no row: no kernel for that."""
  q, keys, *_ = operands
  shape = (q.shape[0], form.width(keys.shape[0]))
  if 0 in (*shape, keys.shape[0]):
    return jnp.full(shape, form.fill, form.out_dtype)
  return primitive.bind(*operands, form=form, options=options)


def _abstract_eval(
  q: ShapedArray,
  keys: ShapedArray,
  *others: ShapedArray,
  form: MqaForm,
  options: Options,
) -> ShapedArray:
  del others, options
  # From an operand, so that inside shard_map the result varies as it does.
  spec = jax.sharding.PartitionSpec(q.sharding.spec[0], None)
  return q.update(
    shape=(q.shape[0], form.width(keys.shape[0])),
    dtype=form.out_dtype,
    weak_type=False,
    sharding=q.sharding.update(spec=spec),
  )


def _jvp(
  primitive: Primitive,
  primals: Sequence[jax.Array],
  tangents: Sequence[Any],
  **params: Any,
) -> tuple[jax.Array, Any]:
  """Returns the result: its gradients come from a VJP outside."""
  for name, tangent in zip(_OPERANDS, tangents, strict=False):
    if isinstance(tangent, ad.Zero):
      continue
    if name != "weights":
      raise TypeError(quantized_gradient_message(name))
    raise NotImplementedError(
      f"{primitive.name} has first derivatives only: differentiate the formula"
      " in jax.numpy, which has all"
    )
  result = primitive.bind(*primals, **params)
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())


for _primitive in (fp8_mqa_logits_p, fp8_mqa_logits_local_p):
  _primitive.def_impl(functools.partial(xla.apply_primitive, _primitive))
  _primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[_primitive] = functools.partial(_jvp, _primitive)
  batching.primitive_batchers[_primitive] = functools.partial(
    mqa_batching.batch_shards, _bind
  )

mlir.register_lowering(fp8_mqa_logits_local_p, mqa_lowering.lower_default)
mlir.register_lowering(
  fp8_mqa_logits_local_p, mqa_lowering.lower_cuda, platform="cuda"
)
mlir.register_lowering(
  fp8_mqa_logits_p,
  functools.partial(
    mqa_partitioning.lower,
    functools.partial(_bind_unless_empty, fp8_mqa_logits_local_p),
  ),
)
gemm_partitioning.require_devices(fp8_mqa_logits_p)
