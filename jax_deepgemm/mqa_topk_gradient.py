"""The largest MQA logits with gradients, straight through quantisation.

With x = q[i, h] . k[j] of the keys j that row i chose, and g the cotangent of
its value, the gradients are those of `mqa_gradient`, with sums over these keys.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from jax_deepgemm import mqa_gradient, residuals
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.mqa_gradient import Dtypes, Gradients, einsum
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import mqa_rows
from jax_deepgemm.primitives.mqa_topk import mqa_topk
from jax_deepgemm.primitives.varying import to_common_varying

Pair = tuple[jax.Array, jax.Array]


def topk(
  k: int,
  max_seqlen_k: int,
  options: Options,
  q: jax.Array,
  kv: Operand,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
) -> Pair:
  """Returns values and indices of checked operands.

  Values are differentiable in plain operands.

  Raises:
    TypeError: while differentiating: a quantised operand was to have a
      gradient.
  """
  operands = to_common_varying((q, kv, weights, starts, ends))
  settings = (int(k), int(max_seqlen_k), options, Dtypes.of(q, kv))
  return _jitted_straight_through(*settings, *operands)


class _Residuals(NamedTuple):
  """What is kept for the backward pass, and which gradients it shall make."""

  q: jax.Array
  kv: Operand
  weights: jax.Array
  indices: jax.Array
  wants_q: jax.Array
  wants_kv: jax.Array
  wants_weights: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _straight_through(
  k: int,
  max_seqlen_k: int,
  options: Options,
  dtypes: Dtypes,
  q: jax.Array,
  kv: Operand,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
) -> Pair:
  del dtypes
  quantised = mqa_gradient.quantised(options, q, kv, weights)
  settings = {"k": k, "max_seqlen_k": max_seqlen_k, "options": options}
  return mqa_topk(*quantised, starts, ends, **settings)


def _forward(
  k: int,
  max_seqlen_k: int,
  options: Options,
  dtypes: Dtypes,
  q: Any,
  kv: Any,
  weights: Any,
  starts: Any,
  ends: Any,
) -> tuple[Pair, _Residuals]:
  """Returns the results, and what the perturbed operands' gradients need."""
  (q, kv, weights), wishes = mqa_gradient.primals(dtypes, q, kv, weights)
  operands = (q, kv, weights, starts.value, ends.value)
  settings = (k, max_seqlen_k, options, dtypes)
  values, indices = _straight_through.fun(*settings, *operands)
  kept = mqa_gradient.as_bits(q, kv, dtypes)
  return (values, indices), _Residuals(*kept, weights, indices, *wishes)


def _backward(
  k: int,
  max_seqlen_k: int,
  options: Options,
  dtypes: Dtypes,
  kept: _Residuals,
  cotangents: tuple[Any, Any],
) -> tuple[jax.Array | None, ...]:
  """Returns the cotangents of q, kv, weights and the ranges."""
  del k, max_seqlen_k, options
  dy, _ = cotangents
  num_rows, num_chosen = kept.indices.shape
  if isinstance(dy, SymbolicZero):
    return None, None, None, None, None
  wants_q, wants_kv, wants_weights = map(residuals.is_wanted, kept[-3:])
  q, (keys, key_scales) = mqa_gradient.unquantised(kept, dtypes)
  num_heads = q.shape[1]
  if 0 in (num_rows, keys.shape[0]):
    return None, None, None, None, None

  def chunk(dk: jax.Array, rows: Any) -> tuple[jax.Array, Gradients]:
    dy, q, weights, indices = rows
    # Where there is no key, key 0 with a cotangent of zero.
    is_there, index = indices >= 0, jnp.maximum(indices, 0)
    chosen = keys[index]
    dy = jnp.where(is_there, dy * key_scales[index], np.float32(0))
    x = einsum("shd,skd->shk", q, chosen)
    dw = dq = None
    if wants_weights:
      dw = mqa_gradient.of_weights(dy, x)
    if wants_q or wants_kv:
      dx = mqa_gradient.of_scores(dy, x, weights)
      dq = einsum("shk,skd->shd", dx, chosen) if wants_q else None
    if wants_kv:
      dk = dk.at[index].add(einsum("shk,shd->skd", dx, q))
    return dk, Gradients(dq, dw)

  rows = mqa_rows.rows_at_once(num_rows, num_heads, num_chosen)
  arrays = (dy, q, kept.weights, kept.indices)
  dk, _ = to_common_varying((jnp.zeros_like(keys), (arrays, keys)))
  dk, gradients = jax.lax.scan(chunk, dk, mqa_rows.in_chunks(arrays, rows))
  dk = dk if wants_kv else None
  return mqa_gradient.cotangents(dtypes, num_rows, gradients, dk)


_straight_through.defvjp(_forward, _backward, symbolic_zeros=True)
# shard_map without jit around it takes no custom_vjp with symbolic zeros.
_jitted_straight_through = jax.jit(
  _straight_through, static_argnums=(0, 1, 2, 3), inline=True
)
