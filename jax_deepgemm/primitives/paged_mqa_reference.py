"""What paged MQA logits are, in jax.numpy: the CPU path."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives import mqa_rows
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
  head_dim = q.shape[3]
  num_pages, page_bytes = pages.shape
  num_keys = block_table.shape[1] * block_kv_of(page_bytes, head_dim)
  lengths = form.lengths(context_lens, num_keys)
  column = jnp.arange(form.max_context_len)

  def sequence(operands: tuple[jax.Array, ...]) -> jax.Array:
    q, weights, lengths, table = operands
    keys, scales = _keys_of(pages[jnp.clip(table, 0, num_pages - 1)], head_dim)
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


def _keys_of(pages: jax.Array, head_dim: int) -> tuple[jax.Array, jax.Array]:
  """Returns keys `[k, d]` and scales `[k]` of pages, one after the other."""
  num_bytes = block_kv_of(pages.shape[1], head_dim) * head_dim
  codes = jax.lax.bitcast_convert_type(pages[:, :num_bytes], jnp.float8_e4m3fn)
  scales = jax.lax.bitcast_convert_type(
    pages[:, num_bytes:].reshape(-1, 4), jnp.float32
  )
  return codes.reshape(-1, head_dim), scales
