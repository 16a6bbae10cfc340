"""What paged MQA logits are, in jax.numpy: the CPU path."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives import mqa_reference, mqa_rows
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm, block_kv_of


def fp8_paged_mqa_logits(
  q: jax.Array,
  pages: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  *indices: jax.Array,
  form: PagedMqaForm,
) -> jax.Array:
  """Returns the logits, sequence after sequence; see `paged_mqa_logits.py`."""
  del indices  # They save reading, and change no value.
  size = q.shape[3]
  keys_of = functools.partial(_fp8_keys_of, head_dim=size)
  rows = (q, weights, context_lens, block_table)
  return _logits(rows, pages, size, keys_of, form)


def fp8_fp4_paged_mqa_logits(
  q: jax.Array,
  pages: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  q_scales: jax.Array,
  *indices: jax.Array,
  form: PagedMqaForm,
) -> jax.Array:
  """Returns the logits of FP4 vectors, decoded to float32."""
  del indices
  size = q.shape[3]
  keys_of = functools.partial(_fp4_keys_of, vector_bytes=size)
  decoded = mqa_reference.decoded(q, q_scales)
  rows = (decoded, weights, context_lens, block_table)
  return _logits(rows, pages, size, keys_of, form)


def _logits(
  rows: tuple[jax.Array, ...],
  pages: jax.Array,
  vector_bytes: int,
  keys_of: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
  form: PagedMqaForm,
) -> jax.Array:
  """Returns the logits of sequences: q, weights, lengths and their table."""
  num_pages, page_bytes = pages.shape
  q, weights, context_lens, block_table = rows
  num_keys = block_table.shape[1] * block_kv_of(page_bytes, vector_bytes)
  lengths = form.lengths(context_lens, num_keys)
  column = jnp.arange(form.max_context_len)

  def sequence(operands: tuple[jax.Array, ...]) -> jax.Array:
    q, weights, lengths, table = operands
    keys, scales = keys_of(pages[jnp.clip(table, 0, num_pages - 1)])
    positive = jnp.maximum(mqa_rows.scores(q, keys), np.float32(0))
    sums = jnp.einsum(
      "nh,nhk->nk", weights, positive, precision=jax.lax.Precision.HIGHEST
    )
    found = (sums * scales)[:, : form.max_context_len]
    missing = form.max_context_len - found.shape[1]
    found = jnp.pad(found, [(0, 0), (0, missing)])
    seen = column < lengths[:, None]
    return jnp.where(seen, found, np.float32(form.fill)).astype(form.out_dtype)

  return jax.lax.map(sequence, (q, weights, lengths, block_table))


def _fp8_keys_of(
  pages: jax.Array, head_dim: int
) -> tuple[jax.Array, jax.Array]:
  """Returns keys `[k, d]` and scales `[k]` of pages, one after the other."""
  codes, scales = _parts(pages, head_dim)
  codes = jax.lax.bitcast_convert_type(codes, jnp.float8_e4m3fn)
  return codes, jax.lax.bitcast_convert_type(scales, jnp.float32)


def _fp4_keys_of(
  pages: jax.Array, vector_bytes: int
) -> tuple[jax.Array, jax.Array]:
  """Returns decoded keys `[k, d]` and scales of 1."""
  codes, scales = _parts(pages, vector_bytes)
  codes = jax.lax.bitcast_convert_type(codes, jnp.int8)
  exponents = jax.lax.bitcast_convert_type(scales, jnp.int32)
  keys = mqa_reference.decoded(codes, exponents)
  return keys, jnp.ones(keys.shape[:1], jnp.float32)


def _parts(pages: jax.Array, vector_bytes: int) -> tuple[jax.Array, jax.Array]:
  """Returns bytes of vectors `[k, vector_bytes]` and of scales `[k, 4]`."""
  num_bytes = block_kv_of(pages.shape[1], vector_bytes) * vector_bytes
  vectors, scales = pages[:, :num_bytes], pages[:, num_bytes:]
  return vectors.reshape(-1, vector_bytes), scales.reshape(-1, 4)
