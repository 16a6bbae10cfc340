"""Paged MQA logits as primitives: types, batching, partitioning.

As with GEMMs, two primitives of one meaning: XLA may still partition one, the
other is one device's share. FP8 and FP4 differ in what they lower to, and in
the scales of q, which FP4 has in front of the indices.
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
  paged_mqa_batching,
  paged_mqa_lowering,
  row_partitioning,
)
from jax_deepgemm.primitives.mqa_lowering import MqaLowering
from jax_deepgemm.primitives.paged_mqa_form import (
  FP4_OPERAND_DIMS,
  FP8_OPERAND_DIMS,
  PagedMqaForm,
)
from jax_deepgemm.primitives.row_partitioning import RowRule
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message


class _Operation(NamedTuple):
  """Both primitives of an operation, and what one device runs for it.

  The last operand of the rule is there only where rows have indices.
  """

  primitive: Primitive
  local: Primitive
  one_device: MqaLowering
  rule: RowRule


def _operation(one_device: MqaLowering, dims: tuple[str, ...]) -> _Operation:
  name = one_device.name
  rule = RowRule(dims, ("b n w",))
  return _Operation(
    Primitive(name), Primitive(f"{name}_local"), one_device, rule
  )


_FP8 = _operation(paged_mqa_lowering.FP8, FP8_OPERAND_DIMS)
_FP4 = _operation(paged_mqa_lowering.FP4, FP4_OPERAND_DIMS)


def fp8_paged_mqa_logits(
  q: jax.Array,
  pages: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  *indices: jax.Array,
  form: PagedMqaForm,
  options: Options,
) -> jax.Array:
  """Returns the logits of `paged_mqa_logits.py`, `[b, n, max_context_len]`.

  Args:
    q: `[b, n, h, d]` float8_e4m3fn.
    pages: `[p, page_bytes]` uint8, keys and then their scales.
    weights: `[b, n, h]` float32.
    context_lens: `[b, n]` int32, keys of each row; any value.
    block_table: `[b, m]` int32, pages of each sequence; any value.
    *indices: `[b]` int32 if `form.is_varlen`, the sequence of each row.
    form: of the result.
    options: in force when the public function was called.
  """
  operands = (q, pages, weights, context_lens, block_table, *indices)
  return _bind(_FP8, *operands, form=form, options=options)


def fp8_fp4_paged_mqa_logits(
  q: jax.Array,
  pages: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  q_scales: jax.Array,
  *indices: jax.Array,
  form: PagedMqaForm,
  options: Options,
) -> jax.Array:
  """Returns the same of FP4 vectors.

  Args:
    q: `[b, n, h, d / 2]` int8.
    pages: `[p, page_bytes]` uint8, codes of keys and then their scales.
    weights: `[b, n, h]` float32.
    context_lens: `[b, n]` int32, keys of each row; any value.
    block_table: `[b, m]` int32, pages of each sequence; any value.
    q_scales: `[b, n, h]` int32, four exponents each.
    *indices: `[b]` int32 if `form.is_varlen`, the sequence of each row.
    form: of the result.
    options: in force when the public function was called.
  """
  operands = (q, pages, weights, context_lens, block_table, q_scales, *indices)
  return _bind(_FP4, *operands, form=form, options=options)


def _bind(
  operation: _Operation, *operands: jax.Array, **params: Any
) -> jax.Array:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = operation.local if is_manual else operation.primitive
  return _bind_unless_empty(primitive, *operands, **params)


def _bind_unless_empty(
  primitive: Primitive,
  *operands: jax.Array,
  form: PagedMqaForm,
  options: Options,
) -> jax.Array:
  """Binds, except where there is no key or no row: no kernel for that."""
  q, pages, _, _, table, *_ = operands
  shape = (*q.shape[:2], form.max_context_len)
  if 0 in (*shape, pages.shape[0], table.shape[1]):
    return jnp.full(shape, form.fill, form.out_dtype)
  return primitive.bind(*operands, form=form, options=options)


def _abstract_eval(
  q: ShapedArray, *others: ShapedArray, form: PagedMqaForm, options: Options
) -> ShapedArray:
  del others, options
  # From an operand, so that inside shard_map the result varies as it does.
  spec = jax.sharding.PartitionSpec(q.sharding.spec[0], None, None)
  return q.update(
    shape=(*q.shape[:2], form.max_context_len),
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
  """Returns the result: it has no derivatives."""
  if not isinstance(tangents[0], ad.Zero):
    raise TypeError(quantized_gradient_message("q"))
  if not isinstance(tangents[2], ad.Zero):
    raise NotImplementedError(
      f"{primitive.name} has no derivatives: gather the keys and call"
      " fp8_mqa_logits, which has"
    )
  result = primitive.bind(*primals, **params)
  return result, ad.Zero(jax.typeof(result).to_tangent_aval())


def _lower(
  operation: _Operation, ctx: Any, *operands: Any, **params: Any
) -> Any:
  bind = functools.partial(_bind_unless_empty, operation.local)
  return row_partitioning.lower(bind, operation.rule, ctx, *operands, **params)


def _register(operation: _Operation) -> None:
  primitive, local, one_device, _ = operation
  bind = functools.partial(_bind, operation)
  for each in (primitive, local):
    each.def_impl(functools.partial(xla.apply_primitive, each))
    each.def_abstract_eval(_abstract_eval)
    ad.primitive_jvps[each] = functools.partial(_jvp, each)
    batching.primitive_batchers[each] = functools.partial(
      paged_mqa_batching.batch_shards, bind, operation.rule.has_rows
    )
  mlir.register_lowering(local, one_device.default)
  mlir.register_lowering(local, one_device.cuda, platform="cuda")
  mlir.register_lowering(primitive, functools.partial(_lower, operation))
  gemm_partitioning.require_devices(primitive)


_register(_FP8)
_register(_FP4)
