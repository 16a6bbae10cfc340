"""What MQA logits are, in jax.numpy: the CPU path."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives import mqa_rows
from jax_deepgemm.primitives.mqa_form import MqaForm


def fp8_mqa_logits(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  *,
  form: MqaForm,
) -> jax.Array:
  """Returns the logits, chunk of rows after chunk; see `mqa_logits.py`."""
  num_rows, num_heads, _ = q.shape
  num_keys = keys.shape[0]
  starts, ends = form.ranges(starts, ends, num_keys)

  def chunk(rows: tuple[jax.Array, ...]) -> jax.Array:
    q, weights, starts, ends = rows
    positive = jnp.maximum(mqa_rows.scores(q, keys), np.float32(0))
    sums = jnp.einsum(
      "sh,shk->sk", weights, positive, precision=jax.lax.Precision.HIGHEST
    )
    logits = mqa_rows.placed(sums * key_scales, starts, ends, form)
    return logits.astype(form.out_dtype)

  rows = mqa_rows.rows_at_once(num_rows, num_heads, num_keys)
  chunks = mqa_rows.in_chunks((q, weights, starts, ends), rows)
  return mqa_rows.joined(jax.lax.map(chunk, chunks), num_rows)
