"""Keys with the largest logits among pages of keys: the choice in decoding."""

import functools
from typing import Any

import jax

from jax_deepgemm import paged_mqa_arguments
from jax_deepgemm.mqa_topk import check_size
from jax_deepgemm.options import Options, current
from jax_deepgemm.paged_mqa_logits import of_primitive, over_sequences
from jax_deepgemm.primitives import paged_mqa_topk as primitive


def paged_mqa_topk(
  q: jax.Array,
  kv_cache: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  k: int,
  max_context_len: int | None = None,
  indices: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Returns the k largest of `fp8_paged_mqa_logits` of each row and their keys.

  The choice is that of `mqa_topk`: exact and in order, NaN first, of equal
  values the lower key. Logits are in memory for a chunk of sequences at a
  time, on a Hopper GPU at most 144 MB, and 192 MB where fewer rows than
  multiprocessors would fit, or those of one sequence.

  There are no gradients. `vmap` over sequences with one cache makes one call.
  Sequences may be sharded, the cache is gathered.

  Args:
    q: as for `fp8_paged_mqa_logits`, `[b, next_n, h, d]`.
    kv_cache: as there.
    weights: float32 `[b * next_n, h]`.
    context_lens: int32 `[b, next_n]`, keys of each row.
    block_table: int32 `[b, max_blocks]`.
    k: how many keys are wanted, at least 1; the Hopper kernel has up to 16384,
      or as many as a row can have.
    max_context_len: the most keys of a row, others are left out; None for as
      many as the table has.
    indices: int32 `[b]`, with next_n = 1: the sequence of each row.

  Returns:
    Values, float32, and numbers of keys within their sequences, int32, both
    `[b * next_n, k]`. Where a row has fewer keys they are -inf and -1.

  Raises:
    TypeError: a dtype or type is wrong.
    ValueError: a shape or size is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, k is too large for the kernel, or a gradient is asked for.
  """
  check_size("k", k, 1)
  operands = paged_mqa_arguments.checked_operands(
    q, kv_cache, weights, context_lens, block_table, indices
  )
  width = block_table.shape[1] * kv_cache.shape[1]
  if max_context_len is not None:
    check_size("max_context_len", max_context_len, 0)
    width = min(width, int(max_context_len))
  topk = functools.partial(_topk, int(k), width, current())
  return over_sequences(topk, operands)


def _topk(
  k: int, width: int, options: Options, *operands: Any
) -> tuple[jax.Array, jax.Array]:
  values, keys = primitive.paged_mqa_topk(
    *of_primitive(*operands), k=k, width=width, options=options
  )
  return values.reshape(-1, k), keys.reshape(-1, k)
