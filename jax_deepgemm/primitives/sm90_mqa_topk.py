"""The largest MQA logits on Hopper: two kernels for each chunk of rows."""

import jax

from jax_deepgemm.heuristics import topk_chunks as chunks
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  sm90_fp8_fp4_mqa_logits,
  sm90_fp8_mqa_logits,
  sm90_row_topk,
  topk_chunks,
)
from jax_deepgemm.primitives.topk_form import TopkForm

VECTOR = 4  # Rows of logits begin at whole vectors of 16 bytes.


def run(
  q: jax.Array,
  keys: jax.Array,
  key_scales: jax.Array,
  weights: jax.Array,
  starts: jax.Array,
  ends: jax.Array,
  *q_scales: jax.Array,
  form: TopkForm,
  options: Options,
  device: Device,
) -> tuple[jax.Array, jax.Array]:
  """Returns the results of `primitives/mqa_topk.py`; no size is zero.

  Raises:
    NotImplementedError: k or a size is too large.
  """
  num_keys = keys.shape[0]
  # Rows of the logits may be longer than what a row looks at.
  starts, ends = form.logits(num_keys).ranges(starts, ends, num_keys)
  logits_form = form.logits(num_keys, VECTOR)

  settings = {"options": options, "device": device}
  kernel = sm90_fp8_fp4_mqa_logits if q_scales else sm90_fp8_mqa_logits

  def chunk(q: jax.Array, *by_row: jax.Array) -> tuple[jax.Array, jax.Array]:
    logits = kernel.run(
      q, keys, key_scales, *by_row, form=logits_form, **settings
    )
    _, starts, ends, *_ = by_row
    return sm90_row_topk.run(
      logits, starts, ends, num_keys=num_keys, k=form.k, **settings
    )

  rows = chunks.rows_at_once(q.shape[0], logits_form.max_seqlen_k, device)
  by_row = (q, weights, starts, ends, *q_scales)
  return topk_chunks.over_chunks(chunk, by_row, rows)
