"""The schedule of paged MQA logits, as DeepGEMM passes it around."""

from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.options import current
from jax_deepgemm.paged_mqa_arguments import (
  BLOCK_KVS,
  checked_indices,
  checked_int32,
)
from jax_deepgemm.primitives.target import target_device

_SEGMENT = 256  # Keys that are not divided between multiprocessors.


def get_paged_mqa_logits_metadata(
  context_lens: jax.Array,
  block_kv: int,
  num_sms: int | None = None,
  indices: jax.Array | None = None,
) -> jax.Array:
  """Returns where each multiprocessor's equal share of the keys begins.

  Row i is (sequence, segment of 256 keys), the last row is the end of all. A
  sequence has ceil(longest of its contexts / 256) segments; with indices,
  sequences are runs of equal ones, named by their first row. Where there are
  no keys at all, all rows are the end.

  It exists for programs that are written for DeepGEMM. The kernel of
  `fp8_paged_mqa_logits` divides the work itself and does not read this array:
  XLA removes the computation where nothing else does, and a stale one does no
  harm.

  Args:
    context_lens: int32 `[b, next_n]`, any values; negative ones count as 0.
    block_kv: keys of a block of the cache, 32 or 64.
    num_sms: shares; None takes options(num_sms=...), else the GPU's.
    indices: int32 `[b]`, with next_n = 1: rows of one sequence are adjacent.

  Returns:
    int32 `[num_sms + 1, 2]`.

  Raises:
    TypeError: a dtype or type is wrong.
    ValueError: a shape or size is wrong.
  """
  lens = checked_int32(
    "context_lens", context_lens, "[b, next_n]", (None, None)
  )
  if block_kv not in BLOCK_KVS:
    raise ValueError(f"block_kv must be 32 or 64, got {block_kv!r}")
  shares = _num_shares(num_sms)
  batch, next_n = lens.shape
  longest = jnp.maximum(lens, 0).max(1, initial=0)
  if indices is not None:
    longest = _of_runs(longest, checked_indices(indices, batch, next_n))
  has_rest = longest % _SEGMENT > 0
  segments = longest // _SEGMENT + has_rest.astype(jnp.int32)
  ends = jnp.cumsum(segments, dtype=jnp.int32)
  total = ends[-1] if batch else jnp.int32(0)
  share = jnp.arange(shares + 1, dtype=jnp.int32)
  # As quotient and remainder: the product could overflow.
  begin = share * (total // shares) + share * (total % shares) // shares
  sequence = jnp.searchsorted(ends, begin, side="right").astype(jnp.int32)
  before = jnp.concatenate([jnp.zeros(1, jnp.int32), ends])[sequence]
  return jnp.stack([sequence, begin - before], axis=1)


def _num_shares(num_sms: Any) -> int:
  if num_sms is None:
    options = current()
    return options.num_sms or target_device(options).num_sms
  if not isinstance(num_sms, int) or isinstance(num_sms, bool):
    raise TypeError(f"num_sms must be an integer or None, got {num_sms!r}")
  if num_sms < 1:
    raise ValueError(f"num_sms must be at least 1, got {num_sms}")
  return num_sms


def _of_runs(longest: jax.Array, indices: jax.Array) -> jax.Array:
  """Returns the longest of each run of equal indices in its first row."""
  batch = indices.shape[0]
  if batch == 0:
    return longest
  begins = jnp.concatenate([jnp.ones(1, bool), indices[1:] != indices[:-1]])
  run = jnp.cumsum(begins, dtype=jnp.int32) - 1
  most = jax.ops.segment_max(longest, run, batch, indices_are_sorted=True)
  return jnp.where(begins, most[run], 0)
