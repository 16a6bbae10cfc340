"""Logits of multi-query attention over pages of keys: scores while decoding."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm import paged_mqa_arguments as arguments
from jax_deepgemm.options import current
from jax_deepgemm.primitives import paged_mqa_logits
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.row_sharding import over_rows

_CACHE = 1  # Of the operands.


def fp8_paged_mqa_logits(
  q: jax.Array,
  kv_cache: jax.Array,
  weights: jax.Array,
  context_lens: jax.Array,
  block_table: jax.Array,
  schedule_meta: jax.Array | None,
  max_context_len: int,
  clean_logits: bool = False,
  logits_dtype: jax.typing.DTypeLike = jnp.float32,
  indices: jax.Array | None = None,
) -> jax.Array:
  """Returns `scale[j] * sum_h weights[i, h] * relu(q[i, h] . k[j])`.

  Row i = b * next_n + t is token t of sequence b, and key j the one at j %
  block_kv in block `block_table[b, j // block_kv]` of the cache, for

    j < context_lens[b, t].

  What lies beyond is -inf with clean_logits, written by the same kernel, and
  undefined without: a kernel leaves it as it was.

  Keys are read once for all rows of a sequence, up to 512 pairs of row and
  head at a time. Sums over heads are float32, in one order: a row's logits do
  not depend on other rows. Lengths and blocks are read on the device and cut
  to what there is: to 0 and both max_context_len and max_blocks * block_kv, and
  to blocks of the cache. Any length may be 0, also all.

  With indices, adjacent rows of equal index are tokens of one sequence, as many
  as there are, and share the reading of keys. Each has its own length. Their
  rows of block_table must agree as far as the longest of them goes; which one
  is read is not specified.

  There are no gradients: `fp8_mqa_logits` has them. `vmap` over sequences with
  one cache makes one launch. Sequences may be sharded, the cache is gathered:
  inside `jax.shard_map` each device has a cache of its own.

  Args:
    q: float8_e4m3fn `[b, next_n, h, d]`, any next_n, h one of 8, 16, 32 and 64,
      d one of 32, 64 and 128. Its scales, positive, go into weights.
    kv_cache: uint8 `[num_blocks, block_kv, 1, d + 4]`, block_kv 32 or 64. A
      block is block_kv * d bytes of e4m3 keys and then block_kv float32 scales.
    weights: float32 `[b * next_n, h]`, of any sign.
    context_lens: int32 `[b, next_n]`, keys of each row.
    block_table: int32 `[b, max_blocks]`.
    schedule_meta: int32 `[num_sms + 1, 2]` from
      `get_paged_mqa_logits_metadata`, or None. The kernel divides the work
      itself and does not read it.
    max_context_len: columns of the result.
    clean_logits: what lies beyond a row's keys is -inf.
    logits_dtype: float32 or bfloat16.
    indices: int32 `[b]`, with next_n = 1: the sequence of each row.

  Returns:
    `[b * next_n, max_context_len]` in `logits_dtype`.

  Raises:
    TypeError: a dtype or type is wrong, or a gradient in q is asked for.
    ValueError: a shape or size is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or a gradient in weights is asked for.
  """
  form = arguments.checked_paged_form(
    clean_logits, max_context_len, logits_dtype, indices is not None
  )
  operands = arguments.checked_operands(
    q, kv_cache, weights, context_lens, block_table, indices, schedule_meta
  )
  logits = functools.partial(
    paged_mqa_logits.fp8_paged_mqa_logits, form=form, options=current()
  )
  return over_sequences(functools.partial(logits_of, logits), operands)


def over_sequences(
  function: Callable[..., Any], operands: Sequence[jax.Array]
) -> Any:
  """Returns `function` of checked operands, each device computing its own.

  Args:
    function: of all operands; its results have rows first.
    operands: of the logits; the second is the cache.
  """
  # All but the cache have a sequence first, weights next_n rows for each.
  has_rows = [i != _CACHE for i in range(len(operands))]
  return over_rows(function, operands, has_rows)


def logits_of(
  primitive: Callable[..., jax.Array], *operands: jax.Array
) -> jax.Array:
  """Returns logits `[b * next_n, max_context_len]` of checked operands."""
  found = primitive(*of_primitive(*operands))
  batch, next_n, width = found.shape
  return found.reshape(batch * next_n, width)


def of_primitive(
  q: jax.Array, kv_cache: jax.Array, weights: jax.Array, *others: jax.Array
) -> tuple[jax.Array, ...]:
  """Returns the operands as primitives have them: by sequence, pages flat."""
  num_pages, *page = kv_cache.shape
  pages = kv_cache.reshape(num_pages, math.prod(page))
  return to_common_varying((q, pages, weights.reshape(q.shape[:3]), *others))
