"""The largest MQA logits as a primitive: types, batching, partitioning.

As with the logits, two primitives of one meaning: XLA may still partition one,
the other is one device's share.
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
  row_partitioning,
  sm90_mqa_topk,
  topk_reference,
  topk_results,
)
from jax_deepgemm.primitives.mqa_form import OPERAND_DIMS
from jax_deepgemm.primitives.row_partitioning import RowRule
from jax_deepgemm.primitives.topk_form import TopkForm
from jax_deepgemm.primitives.topk_lowering import TopkLowering

mqa_topk_p = Primitive("mqa_topk")
mqa_topk_local_p = Primitive("mqa_topk_local")

_RULE = RowRule(OPERAND_DIMS, ("s w", "s w"))
_ONE_DEVICE = TopkLowering(
  "mqa_topk", topk_reference.mqa_topk, sm90_mqa_topk.run
)


def mqa_topk(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  *q_scales: jax.Array,
  k: int,
  max_seqlen_k: int,
  options: Options,
) -> tuple[jax.Array, jax.Array]:
  """Returns the k largest logits of each row in order, and their keys.

  Args:
    q: `[s, h, d]` float8_e4m3fn, or FP4, `[s, h, d / 2]` int8.
    keys: `[k, d]` float8_e4m3fn, or as q.
    key_scales: `[k]` float32, or int32, four exponents each.
    weights: `[s, h]` float32.
    starts: `[s]` int32, first key of each row; any value.
    ends: `[s]` int32, one past the last.
    *q_scales: `[s, h]` int32, for FP4 only.
    k: of any size.
    max_seqlen_k: the most keys of a row, or 0.
    options: in force when the public function was called.

  Returns:
    `[s, k]` float32 and int32, -inf and -1 where a row has no more keys.
  """
  width = TopkForm(k, max_seqlen_k).width(keys.shape[0])
  form = TopkForm(min(k, width), max_seqlen_k)
  operands = (q, keys, key_scales, weights, starts, ends, *q_scales)
  return topk_results.padded(_bind(*operands, form=form, options=options), k)


def _bind(*operands: jax.Array, **params: Any) -> list[jax.Array]:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = mqa_topk_local_p if is_manual else mqa_topk_p
  return _bind_unless_empty(primitive, *operands, **params)


def _bind_unless_empty(
  primitive: Primitive, *operands: jax.Array, form: TopkForm, options: Options
) -> list[jax.Array]:
  """Binds, except where there is no key or no row: no kernel for that."""
  q, keys, *_ = operands
  if 0 in (q.shape[0], keys.shape[0]):
    return topk_results.nothing((q.shape[0], form.k))
  return primitive.bind(*operands, form=form, options=options)


def _abstract_eval(
  q: ShapedArray, *others: ShapedArray, form: TopkForm, options: Options
) -> list[ShapedArray]:
  del others, options
  return topk_results.abstract(q, (q.shape[0], form.k))


def _jvp(
  primals: Sequence[jax.Array], tangents: Sequence[Any], **params: Any
) -> Any:
  """Raises: gradients of FP8 come from a VJP outside, which has no others."""
  del tangents, params
  if primals[1].dtype == jnp.int8:
    raise NotImplementedError(
      "mqa_topk of FP4 has no gradients: pass jax.lax.stop_gradient of the"
      " weights, or decode q and kv with cast_back_from_fp4"
    )
  raise NotImplementedError(
    "mqa_topk has first derivatives only: differentiate fp8_mqa_logits' formula"
    " in jax.numpy, which has all"
  )


def _lower(ctx: Any, *operands: Any, **params: Any) -> Any:
  bind = functools.partial(_bind_unless_empty, mqa_topk_local_p)
  return row_partitioning.lower(bind, _RULE, ctx, *operands, **params)


for _primitive in (mqa_topk_p, mqa_topk_local_p):
  _primitive.multiple_results = True
  _primitive.def_impl(functools.partial(xla.apply_primitive, _primitive))
  _primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[_primitive] = _jvp
  batching.primitive_batchers[_primitive] = functools.partial(
    mqa_batching.batch_shards, _bind, _RULE.has_rows
  )

mlir.register_lowering(mqa_topk_local_p, _ONE_DEVICE.default)
mlir.register_lowering(mqa_topk_local_p, _ONE_DEVICE.cuda, platform="cuda")
mlir.register_lowering(mqa_topk_p, _lower)
gemm_partitioning.require_devices(mqa_topk_p)
