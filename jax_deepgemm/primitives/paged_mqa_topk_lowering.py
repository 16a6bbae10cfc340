"""The largest paged MQA logits: in jax.numpy, and on Hopper.

On Hopper two kernels run for each chunk of sequences.
"""

import jax
import jax.numpy as jnp

from jax_deepgemm.heuristics import topk_chunks as chunks
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import (
  mqa_rows,
  paged_mqa_reference,
  sm90_fp8_paged_mqa_logits,
  sm90_row_topk,
  topk_chunks,
  topk_reference,
)
from jax_deepgemm.primitives.paged_mqa_form import PagedTopkForm
from jax_deepgemm.primitives.sm90_mqa_topk import VECTOR
from jax_deepgemm.primitives.topk_lowering import Pair, TopkLowering


def reference(
  q: jax.Array,
  pages: jax.Array,
  *by_sequence: jax.Array,
  form: PagedTopkForm,
) -> Pair:
  """Returns the largest logits and their keys, `[b, n, k]`."""
  batch, next_n, *_ = q.shape

  def chunk(q: jax.Array, *by_sequence: jax.Array) -> Pair:
    logits = paged_mqa_reference.fp8_paged_mqa_logits(
      q, pages, *by_sequence, form=form.logits()
    )
    counts = jnp.clip(by_sequence[1], 0, form.width).reshape(-1)
    found = topk_reference.largest(
      logits.reshape(-1, form.width), jnp.zeros_like(counts), counts, form.k
    )
    return _by_sequence(found, next_n)

  sequences = mqa_rows.rows_at_once(batch, next_n, form.width)
  return topk_chunks.over_chunks(chunk, (q, *by_sequence), sequences)


def run(
  q: jax.Array,
  pages: jax.Array,
  weights: jax.Array,
  lens: jax.Array,
  *others: jax.Array,
  form: PagedTopkForm,
  options: Options,
  device: Device,
) -> Pair:
  """Returns the same from the kernels; no size is zero.

  Raises:
    NotImplementedError: k or a size is too large.
  """
  batch, next_n, *_ = q.shape
  logits_form = form.logits(VECTOR)
  settings = {"options": options, "device": device}
  # Rows of the logits may be longer than what a row looks at.
  lens = jnp.clip(lens, 0, form.width)

  def chunk(q: jax.Array, *by_sequence: jax.Array) -> Pair:
    logits = sm90_fp8_paged_mqa_logits.run(
      q, pages, *by_sequence, form=logits_form, **settings
    )
    ends = by_sequence[1].reshape(-1)
    found = sm90_row_topk.run(
      logits.reshape(len(ends), -1),
      jnp.zeros_like(ends),
      ends,
      num_keys=form.width,
      k=form.k,
      **settings,
    )
    return _by_sequence(found, next_n)

  rows = chunks.rows_at_once(
    batch * next_n, logits_form.max_context_len, device
  )
  sequences = max(rows // next_n, 1)
  by_sequence = (q, weights, lens, *others)
  return topk_chunks.over_chunks(chunk, by_sequence, sequences)


def _by_sequence(found: Pair, next_n: int) -> Pair:
  values, keys = (x.reshape(-1, next_n, x.shape[-1]) for x in found)
  return values, keys


RULES = TopkLowering("paged_mqa_topk", reference, run)
