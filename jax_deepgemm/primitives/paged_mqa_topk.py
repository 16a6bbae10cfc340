"""The largest paged MQA logits as a primitive: types, batching, partitioning.

As with the logits, two primitives of one meaning: XLA may still partition one,
the other is one device's share.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  gemm_partitioning,
  paged_mqa_batching,
  paged_mqa_topk_lowering,
  row_partitioning,
  topk_results,
)
from jax_deepgemm.primitives.paged_mqa_form import (
  FP8_OPERAND_DIMS,
  PagedTopkForm,
)
from jax_deepgemm.primitives.row_partitioning import RowRule

paged_mqa_topk_p = Primitive("paged_mqa_topk")
paged_mqa_topk_local_p = Primitive("paged_mqa_topk_local")

_RULE = RowRule(FP8_OPERAND_DIMS, ("b n w", "b n w"))


def paged_mqa_topk(
  *operands: jax.Array, k: int, width: int, options: Options
) -> tuple[jax.Array, jax.Array]:
  """Returns values and keys, `[b, n, k]`.

  Args:
    *operands: of `primitives/paged_mqa_logits.py`.
    k: of any size.
    width: the most keys of a row.
    options: in force when the public function was called.
  """
  is_varlen = len(operands) == len(FP8_OPERAND_DIMS)
  form = PagedTopkForm(min(k, width), width, is_varlen)
  return topk_results.padded(_bind(*operands, form=form, options=options), k)


def _bind(*operands: jax.Array, **params: Any) -> list[jax.Array]:
  """Binds the primitive that suits the mesh around it."""
  is_manual = jax.sharding.get_abstract_mesh().are_all_axes_manual
  primitive = paged_mqa_topk_local_p if is_manual else paged_mqa_topk_p
  return _bind_unless_empty(primitive, *operands, **params)


def _bind_unless_empty(
  primitive: Primitive,
  *operands: jax.Array,
  form: PagedTopkForm,
  options: Options,
) -> list[jax.Array]:
  """Binds, except where there is no key or no row: no kernel for that."""
  q, pages, *_ = operands
  if 0 in (*q.shape[:2], pages.shape[0], form.width):
    return topk_results.nothing((*q.shape[:2], form.k))
  return primitive.bind(*operands, form=form, options=options)


def _abstract_eval(
  q: ShapedArray, *others: ShapedArray, form: PagedTopkForm, options: Options
) -> list[ShapedArray]:
  del others, options
  return topk_results.abstract(q, (*q.shape[:2], form.k))


def _jvp(
  primals: Sequence[jax.Array], tangents: Sequence[Any], **params: Any
) -> Any:
  del primals, tangents, params
  raise NotImplementedError(
    "paged_mqa_topk has no derivatives: gather the keys and call mqa_topk,"
    " which has, or pass jax.lax.stop_gradient of q and weights"
  )


def _lower(ctx: Any, *operands: Any, **params: Any) -> Any:
  bind = functools.partial(_bind_unless_empty, paged_mqa_topk_local_p)
  return row_partitioning.lower(bind, _RULE, ctx, *operands, **params)


for _primitive in (paged_mqa_topk_p, paged_mqa_topk_local_p):
  _primitive.multiple_results = True
  _primitive.def_impl(functools.partial(xla.apply_primitive, _primitive))
  _primitive.def_abstract_eval(_abstract_eval)
  ad.primitive_jvps[_primitive] = _jvp
  batching.primitive_batchers[_primitive] = functools.partial(
    paged_mqa_batching.batch_shards, _bind, _RULE.has_rows
  )

mlir.register_lowering(
  paged_mqa_topk_local_p, paged_mqa_topk_lowering.RULES.default
)
mlir.register_lowering(
  paged_mqa_topk_local_p, paged_mqa_topk_lowering.RULES.cuda, platform="cuda"
)
mlir.register_lowering(paged_mqa_topk_p, _lower)
gemm_partitioning.require_devices(paged_mqa_topk_p)
