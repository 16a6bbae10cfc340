"""What MQA logits are, in jax.numpy: the CPU path."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.primitives import fp4_reference, mqa_rows
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
  """Returns the logits, chunk of rows after chunk; see `mqa_logits.py`.

  Neither q nor keys need be FP8: they become float32.
  """
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


def fp8_fp4_mqa_logits(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  q_scales: jax.Array,
  *,
  form: MqaForm,
) -> jax.Array:
  """Returns the logits of FP4 vectors, decoded to float32."""
  return fp8_mqa_logits(
    decoded(q, q_scales),
    decoded(keys, key_scales),
    jnp.ones(keys.shape[:1], jnp.float32),
    weights,
    starts,
    ends,
    form=form,
  )


def decoded(values: jax.Array, scales: jax.Array) -> jax.Array:
  """Returns `[..., d]` float32 of codes `[..., d / 2]` and scales `[...]`."""
  d = 2 * values.shape[-1]
  codes, spread = fp4_reference.as_fp8(values, scales[..., None], d)
  spread = jnp.repeat(spread, fp4_reference.GRAN_K, axis=-1)[..., :d]
  return codes.astype(jnp.float32) * spread
