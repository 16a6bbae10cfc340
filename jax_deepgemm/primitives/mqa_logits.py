"""MQA logits as a primitive: types, derivative, batching.

As with GEMMs, two primitives of one meaning: XLA may still partition one, the
other is one device's share. FP8 and FP4 differ in what they lower to, and in
the scales of q, which FP4 has as its last operand.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

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
  row_partitioning,
)
from jax_deepgemm.primitives.mqa_form import OPERAND_DIMS, MqaForm
from jax_deepgemm.primitives.row_partitioning import RowRule
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message

_OPERANDS = ("q", "kv", "kv", "weights")
_RULE = RowRule(OPERAND_DIMS, ("s w",))


class _Operation(NamedTuple):
  """Both primitives of an operation, and what one device runs for it."""

  primitive: Primitive
  local: Primitive
  one_device: mqa_lowering.MqaLowering


def _operation(one_device: mqa_lowering.MqaLowering) -> _Operation:
  name = one_device.name
  return _Operation(Primitive(name), Primitive(f"{name}_local"), one_device)


_FP8 = _operation(mqa_lowering.FP8)
_FP4 = _operation(mqa_lowering.FP4)


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
  return _bind(_FP8, *operands, form=form, options=options)


def fp8_fp4_mqa_logits(
  q: jax.Array,
  q_scales: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  *,
  form: MqaForm,
  options: Options,
) -> jax.Array:
  """Returns sum_h weights[i, h] * relu(q[i, h] . keys[j]) of FP4 vectors.

  Args:
    q: `[s, h, d / 2]` int8.
    q_scales: `[s, h]` int32, four exponents each.
    keys: `[k, d / 2]` int8.
    key_scales: `[k]` int32.
    weights: `[s, h]` float32.
    starts: `[s]` int32, first key of each row; any value.
    ends: `[s]` int32, one past the last.
    form: of the result.
    options: in force when the public function was called.
  """
  operands = (q, keys, key_scales, weights, starts, ends, q_scales)
  return _bind(_FP4, *operands, form=form, options=options)


def _bind(
  operation: _Operation, *operands: jax.Array, **params: Any
) -> jax.Array:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = operation.local if is_manual else operation.primitive
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
    if primals[0].dtype == jnp.int8:
      raise NotImplementedError(
        "fp8_fp4_mqa_logits has no gradients; decode q and kv with"
        " cast_back_from_fp4 and pass them to fp8_mqa_logits, which has them"
      )
    raise NotImplementedError(
      f"{primitive.name} has first derivatives only: differentiate the formula"
      " in jax.numpy, which has all"
    )
  result = primitive.bind(*primals, **params)
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())


def _lower(local: Primitive, ctx: Any, *operands: Any, **params: Any) -> Any:
  bind = functools.partial(_bind_unless_empty, local)
  return row_partitioning.lower(bind, _RULE, ctx, *operands, **params)


def _register(operation: _Operation) -> None:
  primitive, local, one_device = operation
  bind = functools.partial(_bind, operation)
  for each in (primitive, local):
    each.def_impl(functools.partial(xla.apply_primitive, each))
    each.def_abstract_eval(_abstract_eval)
    ad.primitive_jvps[each] = functools.partial(_jvp, each)
    batching.primitive_batchers[each] = functools.partial(
      mqa_batching.batch_shards, bind, _RULE.has_rows
    )
  mlir.register_lowering(local, one_device.default)
  mlir.register_lowering(local, one_device.cuda, platform="cuda")
  mlir.register_lowering(primitive, functools.partial(_lower, local))
  gemm_partitioning.require_devices(primitive)


_register(_FP8)
_register(_FP4)
