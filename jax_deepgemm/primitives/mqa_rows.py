"""Rows of queries in chunks, so that scores of all heads fit into memory."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.primitives.mqa_form import MqaForm

# Scores, `[rows, heads, keys]`, that are in memory at a time: 16 MB of float32.
_MOST_SCORES = 1 << 22


def rows_at_once(num_rows: int, num_heads: int, num_keys: int) -> int:
  """Returns the rows of a chunk, at least one."""
  return min(max(_MOST_SCORES // (num_heads * num_keys), 1), num_rows)


def in_chunks(arrays: Any, rows: int) -> Any:
  """Returns `[s, ...]` as `[ceil(s / rows), rows, ...]`, padded with zeros."""

  def cut(x: jax.Array) -> jax.Array:
    chunks = ceil_div(x.shape[0], rows)
    missing = chunks * rows - x.shape[0]
    padding = [(0, missing)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding).reshape(chunks, rows, *x.shape[1:])

  return jax.tree.map(cut, arrays)


def joined(chunks: jax.Array, num_rows: int) -> jax.Array:
  """Returns `[num_rows, ...]` of what `in_chunks` made."""
  return chunks.reshape(-1, *chunks.shape[2:])[:num_rows]


def scores(q: jax.Array, keys: jax.Array) -> jax.Array:
  """Returns q . k of every row, head and key in float32, `[s, h, k]`.

  Products of e4m3 numbers are exact, on any device.
  """
  return jnp.einsum(
    "shd,kd->shk",
    q.astype(jnp.float32),
    keys.astype(jnp.float32),
    precision=jax.lax.Precision.HIGHEST,
  )


def is_in_range(starts: jax.Array, ends: jax.Array, num_keys: int) -> jax.Array:
  """Returns which keys a row looks at, `[s, k]`, from checked ranges."""
  key = jnp.arange(num_keys, dtype=jnp.int32)
  return (key >= starts[:, None]) & (key < ends[:, None])


def placed(
  logits: jax.Array, starts: jax.Array, ends: jax.Array, form: MqaForm
) -> jax.Array:
  """Returns logits `[s, k]` where `form` wants them, filled elsewhere."""
  fill = np.float32(form.fill)
  num_keys = logits.shape[1]
  if not form.is_compressed:
    return jnp.where(is_in_range(starts, ends, num_keys), logits, fill)
  column = jnp.arange(form.max_seqlen_k, dtype=jnp.int32)
  key = jnp.minimum(starts[:, None] + column, num_keys - 1)
  found = jnp.take_along_axis(logits, key, axis=1, mode="promise_in_bounds")
  return jnp.where(column < (ends - starts)[:, None], found, fill)


def taken_back(
  cotangent: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  num_keys: int,
  form: MqaForm,
) -> jax.Array:
  """Returns the cotangent of `logits` of `placed`, `[s, k]` float32."""
  dy = cotangent.astype(jnp.float32)
  if form.is_compressed:
    key = jnp.arange(num_keys, dtype=jnp.int32)
    column = jnp.clip(key - starts[:, None], 0, form.max_seqlen_k - 1)
    dy = jnp.take_along_axis(dy, column, axis=1, mode="promise_in_bounds")
  return jnp.where(is_in_range(starts, ends, num_keys), dy, np.float32(0))
