"""Paged MQA logits as a primitive: types, batching, partitioning.

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
  paged_mqa_batching,
  paged_mqa_lowering,
  row_partitioning,
)
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from jax_deepgemm.primitives.row_partitioning import RowRule
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message

fp8_paged_mqa_logits_p = Primitive("fp8_paged_mqa_logits")
fp8_paged_mqa_logits_local_p = Primitive("fp8_paged_mqa_logits_local")

# q, pages, weights, lengths, table, and indices if rows have some.
_HAS_ROWS = (True, False, True, True, True, True)
_RULE = "b n h d, p x, b n h, b n, b m{} -> b n w"
_REPLICATED = ("n", "h", "d", "p", "x", "m", "w")


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
  return _bind(*operands, form=form, options=options)


def _bind(*operands: jax.Array, **params: Any) -> jax.Array:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = (
    fp8_paged_mqa_logits_local_p if is_manual else fp8_paged_mqa_logits_p
  )
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


def _lower(ctx: Any, *operands: Any, **params: Any) -> Any:
  own = _HAS_ROWS[: len(operands)]
  rule = _RULE.format(", b" if len(operands) == len(_HAS_ROWS) else "")
  bind = functools.partial(_bind_unless_empty, fp8_paged_mqa_logits_local_p)
  return row_partitioning.lower(
    bind, RowRule(rule, _REPLICATED, own), ctx, *operands, **params
  )


for _primitive in (fp8_paged_mqa_logits_p, fp8_paged_mqa_logits_local_p):
  _primitive.def_impl(functools.partial(xla.apply_primitive, _primitive))
  _primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[_primitive] = functools.partial(_jvp, _primitive)
  batching.primitive_batchers[_primitive] = functools.partial(
    paged_mqa_batching.batch_shards, _bind, _HAS_ROWS
  )

mlir.register_lowering(
  fp8_paged_mqa_logits_local_p, paged_mqa_lowering.lower_default
)
mlir.register_lowering(
  fp8_paged_mqa_logits_local_p, paged_mqa_lowering.lower_cuda, platform="cuda"
)
mlir.register_lowering(fp8_paged_mqa_logits_p, _lower)
gemm_partitioning.require_devices(fp8_paged_mqa_logits_p)
