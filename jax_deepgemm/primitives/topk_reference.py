"""The largest MQA logits in jax.numpy: the CPU path."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives import mqa_reference, mqa_rows, topk_chunks
from jax_deepgemm.primitives.topk_form import TopkForm

_INT32 = np.iinfo(np.int32)


def mqa_topk(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  *by_row: jax.Array,
  form: TopkForm,
) -> tuple[jax.Array, jax.Array]:
  """Returns the largest logits and their keys, chunk of rows after chunk."""
  num_rows, num_heads, _ = q.shape
  num_keys = keys.shape[0]
  logits_form = form.logits(num_keys)
  is_fp4 = keys.dtype == jnp.int8
  logits_of = (
    mqa_reference.fp8_fp4_mqa_logits if is_fp4 else mqa_reference.fp8_mqa_logits
  )

  def chunk(q: jax.Array, *by_row: jax.Array) -> tuple[jax.Array, jax.Array]:
    logits = logits_of(q, keys, key_scales, *by_row, form=logits_form)
    _, starts, ends, *_ = by_row
    starts, ends = logits_form.ranges(starts, ends, num_keys)
    return largest(logits, starts, ends - starts, form.k)

  rows = mqa_rows.rows_at_once(num_rows, num_heads, num_keys)
  return topk_chunks.over_chunks(chunk, (q, *by_row), rows)


def largest(
  values: jax.Array, first_keys: jax.Array, counts: jax.Array, k: int
) -> tuple[jax.Array, jax.Array]:
  """Returns the k largest of each row in order, and their keys.

  Args:
    values: float32 `[rows, width]`.
    first_keys: int32 `[rows]`, that of each row's first column.
    counts: int32 `[rows]`, columns of each row that have a value.
    k: at most the width.

  Returns:
    float32 and int32 `[rows, k]`: NaN before all others, of equal values the
    lower key first, zeros being equal; -inf and -1 where there is none.
  """
  column = jnp.arange(values.shape[1], dtype=jnp.int32)
  is_there = column < counts[:, None]
  order = jnp.where(is_there, _order(values), np.int32(_INT32.min))
  # Of equal integers top_k returns the lower column first.
  order, columns = jax.lax.top_k(order, k)
  is_found = order > _INT32.min
  found = jnp.where(is_found, _value(order), np.float32(-np.inf))
  keys = jnp.where(is_found, columns + first_keys[:, None], np.int32(-1))
  return found, keys


def _order(values: jax.Array) -> jax.Array:
  """Returns integers that are ordered as the values are; not the lowest."""
  bits = jax.lax.bitcast_convert_type(values, jnp.int32)
  # The bits of -0. A CPU may compare denormal numbers as zeros.
  bits = jnp.where(bits == _INT32.min, np.int32(0), bits)
  return jnp.where(
    jnp.isnan(values), np.int32(_INT32.max), _with_order_of_sign(bits)
  )


def _value(order: jax.Array) -> jax.Array:
  """Returns the values that `_order` was given."""
  return jax.lax.bitcast_convert_type(_with_order_of_sign(order), jnp.float32)


def _with_order_of_sign(bits: jax.Array) -> jax.Array:
  """Returns bits with magnitudes of negative numbers reversed; its inverse."""
  return jnp.where(bits < 0, bits ^ np.int32(_INT32.max), bits)
