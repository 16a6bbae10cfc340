"""MQA logits with gradients: plain operands are quantised, straight through.

The gradients are those of the unquantised formula: with x = q[i, h] . k[j] and
g the cotangent within the ranges, times the scale of key j if it has one,

  dweights[i, h] = sum_j g[i, j] relu(x)
  dq[i, h]       = sum_j g[i, j] weights[i, h] (x > 0) k[j]
  dk[j]          = sum_ih g[i, j] weights[i, h] (x > 0) q[i, h].
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm import residuals, straight_through
from jax_deepgemm.gemm_operands import Operand
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import mqa_rows
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.primitives.mqa_logits import fp8_mqa_logits
from jax_deepgemm.primitives.scaled_gemm import quantized_gradient_message
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.quantize import cast_rows
from jax_deepgemm.scaled_array import ScaledArray

_BLOCK = 128  # At least as many elements as a vector has: one scale for each.


def logits(
  form: MqaForm,
  options: Options,
  q: jax.Array,
  kv: Operand,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
) -> jax.Array:
  """Returns the logits of checked operands, differentiable in plain ones.

  Raises:
    TypeError: while differentiating: a quantised operand was to have a
      gradient.
  """
  operands = to_common_varying((q, kv, weights, starts, ends))
  return _jitted_straight_through(form, options, Dtypes.of(q, kv), *operands)


class Dtypes(NamedTuple):
  """dtypes of the gradients of q and kv, None for quantised."""

  q: jnp.dtype | None
  kv: jnp.dtype | None

  @classmethod
  def of(cls, q: jax.Array, kv: Operand) -> "Dtypes":
    """Returns those of the gradients of checked q and kv."""
    is_quantised = q.dtype == jnp.float8_e4m3fn
    return cls(
      None if is_quantised else jnp.dtype(q.dtype),
      straight_through.plain_dtype(kv),
    )


class _Residuals(NamedTuple):
  """What is kept for the backward pass, and which gradients it shall make."""

  q: jax.Array
  kv: Operand
  weights: jax.Array
  starts: jax.Array
  ends: jax.Array
  wants_q: jax.Array
  wants_kv: jax.Array
  wants_weights: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _straight_through(
  form: MqaForm,
  options: Options,
  dtypes: Dtypes,
  q: jax.Array,
  kv: Operand,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
) -> jax.Array:
  del dtypes
  return _quantised_logits(form, options, q, kv, weights, starts, ends)


def _quantised_logits(
  form: MqaForm,
  options: Options,
  q: jax.Array,
  kv: Operand,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
) -> jax.Array:
  operands = quantised(options, q, kv, weights)
  return fp8_mqa_logits(*operands, starts, ends, form=form, options=options)


def quantised(
  options: Options, q: jax.Array, kv: Operand, weights: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Returns q, keys, their scales and weights times the scales of q, if any."""
  if q.dtype != jnp.float8_e4m3fn:
    shape = q.shape
    q, scales = cast_rows(q.reshape(-1, shape[2]), _BLOCK, False, options)
    q, weights = q.reshape(shape), weights * scales.reshape(shape[:2])
  if not isinstance(kv, ScaledArray):
    values, scales = cast_rows(kv, _BLOCK, False, options)
    kv = ScaledArray(values, scales[:, 0])
  return q, *kv, weights


def _forward(
  form: MqaForm,
  options: Options,
  dtypes: Dtypes,
  q: Any,
  kv: Any,
  weights: Any,
  starts: Any,
  ends: Any,
) -> tuple[jax.Array, _Residuals]:
  """Returns the logits, and what the perturbed operands' gradients need."""
  (q, kv, weights), wishes = primals(dtypes, q, kv, weights)
  operands = (q, kv, weights, starts.value, ends.value)
  result = _quantised_logits(form, options, *operands)
  kept = as_bits(q, kv, dtypes)
  return result, _Residuals(*kept, *operands[2:], *wishes)


def primals(
  dtypes: Dtypes, q: Any, kv: Any, weights: Any
) -> tuple[tuple[jax.Array, Operand, jax.Array], list[jax.Array]]:
  """Returns the operands of a forward rule, and which gradients are wanted.

  Raises:
    TypeError: one of a quantised operand.
  """
  q, wants_q = straight_through.primal("q", q)
  if wants_q and dtypes.q is None:
    raise TypeError(quantized_gradient_message("q"))
  kv, wants_kv = straight_through.primal("kv", kv)
  wishes = map(residuals.wish, (wants_q, wants_kv, weights.perturbed))
  return (q, kv, weights.value), list(wishes)


def as_bits(
  q: jax.Array, kv: Operand, dtypes: Dtypes
) -> tuple[jax.Array, Operand]:
  """Returns q and kv to keep: of quantised ones the bits."""
  return (
    q if dtypes.q else jax.lax.bitcast_convert_type(q, jnp.uint8),
    kv if dtypes.kv else straight_through.as_bits(kv),
  )


class Gradients(NamedTuple):
  """Gradients of a chunk of rows, those that are wanted."""

  q: jax.Array | None
  weights: jax.Array | None


def _backward(
  form: MqaForm,
  options: Options,
  dtypes: Dtypes,
  kept: _Residuals,
  dy: jax.Array,
) -> tuple[jax.Array | None, ...]:
  """Returns the cotangents of q, kv, weights and the ranges."""
  del options
  wants_q, wants_kv, wants_weights = map(residuals.is_wanted, kept[-3:])
  q, (keys, key_scales) = unquantised(kept, dtypes)
  num_rows, num_heads, head_dim = q.shape
  num_keys = keys.shape[0]
  if 0 in (num_rows, num_keys, dy.shape[1]):
    return _zeros(kept, dtypes)
  starts, ends = form.ranges(kept.starts, kept.ends, num_keys)

  def chunk(dk: jax.Array, rows: Any) -> tuple[jax.Array, Gradients]:
    dy, q, weights, starts, ends = rows
    dy = mqa_rows.taken_back(dy, starts, ends, num_keys, form) * key_scales
    x = mqa_rows.scores(q, keys)
    dw = dq = None
    if wants_weights:
      dw = of_weights(dy, x)
    if wants_q or wants_kv:
      dx = of_scores(dy, x, weights)
      dq = einsum("shk,kd->shd", dx, keys) if wants_q else None
    if wants_kv:
      dk = dk + einsum("shk,shd->kd", dx, q)
    return dk, Gradients(dq, dw)

  rows = mqa_rows.rows_at_once(num_rows, num_heads, num_keys)
  arrays = (dy, q, kept.weights, starts, ends)
  chunks = mqa_rows.in_chunks(arrays, rows)
  dk, _ = to_common_varying(
    (jnp.zeros((num_keys, head_dim), jnp.float32), (arrays, keys))
  )
  dk, gradients = jax.lax.scan(chunk, dk, chunks)
  return cotangents(dtypes, num_rows, gradients, dk if wants_kv else None)


def of_weights(dy: jax.Array, x: jax.Array) -> jax.Array:
  """Returns the gradient of weights, from cotangents and scores of keys."""
  return einsum("sk,shk->sh", dy, jnp.maximum(x, np.float32(0)))


def of_scores(dy: jax.Array, x: jax.Array, weights: jax.Array) -> jax.Array:
  """Returns the gradient of the scores x."""
  dx = weights[:, :, None] * dy[:, None, :]
  return jnp.where(x > 0, dx, np.float32(0))


def cotangents(
  dtypes: Dtypes, num_rows: int, rows: Gradients, dk: jax.Array | None
) -> tuple[jax.Array | None, ...]:
  """Returns those of q, kv, weights and the ranges.

  Args:
    dtypes: of the first two.
    num_rows: rows that there are.
    rows: gradients of all chunks of them.
    dk: of the keys, None if it is not wanted.
  """
  dq, dw = rows
  return (
    None if dq is None else mqa_rows.joined(dq, num_rows).astype(dtypes.q),
    None if dk is None else dk.astype(dtypes.kv),
    None if dw is None else mqa_rows.joined(dw, num_rows),
    None,
    None,
  )


def unquantised(
  kept: Any, dtypes: Dtypes
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  """Returns q, and keys and their scales, 1 for plain ones, in float32.

  Args:
    kept: has q and kv, quantised ones as bits.
    dtypes: of their gradients.
  """
  q, kv = kept.q, kept.kv
  if dtypes.q is None:
    q = jax.lax.bitcast_convert_type(q, jnp.float8_e4m3fn)
  if dtypes.kv is None:
    keys, scales = straight_through.as_codes(kv)
  else:
    keys, scales = kv, jnp.ones(kv.shape[:1], jnp.float32)
  return q.astype(jnp.float32), (keys.astype(jnp.float32), scales)


def _zeros(kept: _Residuals, dtypes: Dtypes) -> tuple[jax.Array | None, ...]:
  """Returns the cotangents where there is no logit."""
  return (
    jnp.zeros_like(kept.q) if dtypes.q else None,
    jnp.zeros_like(kept.kv) if dtypes.kv else None,
    jnp.zeros_like(kept.weights),
    None,
    None,
  )


def einsum(formula: str, *arrays: jax.Array) -> jax.Array:
  """Returns an einsum in float32."""
  return jnp.einsum(formula, *arrays, precision=jax.lax.Precision.HIGHEST)


_straight_through.defvjp(_forward, _backward, symbolic_zeros=True)
# shard_map without jit around it takes no custom_vjp with symbolic zeros.
_jitted_straight_through = jax.jit(
  _straight_through, static_argnums=(0, 1, 2), inline=True
)
