"""Logits of FP4 queries over pages of FP4 keys, or FP8: scores for decoding."""

import functools

import jax
import jax.numpy as jnp

from jax_deepgemm import mqa_fp4_arguments
from jax_deepgemm import paged_mqa_arguments as arguments
from jax_deepgemm.options import current
from jax_deepgemm.paged_mqa_logits import (
  fp8_paged_mqa_logits,
  logits_of,
  over_sequences,
)
from jax_deepgemm.primitives import paged_mqa_logits


def fp8_fp4_paged_mqa_logits(
  q: tuple[jax.Array, jax.Array | None],
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
  """Returns `sum_h weights[i, h] * relu(q[i, h] . k[j])` of FP4 vectors.

  That is `fp8_paged_mqa_logits` for codes of four bits, with a scale for 32 of
  them that acts inside of the product; keys have no other scale. With None for
  the scales of q both are FP8, and this is `fp8_paged_mqa_logits`.

  Scales are those of `fp8_fp4_mqa_logits`: q is what
  `per_token_cast_to_fp4(x, use_ue8m0=True, gran_k=32, use_packed_ue8m0=True)`
  returns, and so are the codes and scales of keys. Of packed scales d = 64
  reads two bytes and d = 32 one; a byte of 255 stands for NaN, and 0 for the
  scale 0.0. Float32 scales of q are packed here.

  Lengths, blocks, indices, what lies beyond a row's keys, `vmap` and sharding
  are those of `fp8_paged_mqa_logits`. There are no gradients.

  On a Hopper GPU one kernel decodes and multiplies. Scales of a vector that are
  more than 2**14 apart beside codes that are not zero, or beyond 2**60, are
  computed without tensor cores: right, and slow where there are many.

  Args:
    q: pair of int8 `[b, next_n, h, d / 2]` and int32 scales `[b, next_n, h]`,
      any next_n, h one of 8, 16, 32 and 64, d one of 32, 64 and 128; or
      (float8_e4m3fn `[b, next_n, h, d]`, None).
    kv_cache: uint8 `[num_blocks, block_kv, 1, d / 2 + 4]`, block_kv 32 or 64. A
      block is block_kv * d / 2 bytes of codes and then block_kv words of four
      exponents. That of `fp8_paged_mqa_logits` beside FP8.
    weights: float32 `[b * next_n, h]`, of any sign.
    context_lens: int32 `[b, next_n]`, keys of each row.
    block_table: int32 `[b, max_blocks]`.
    schedule_meta: int32 `[num_sms + 1, 2]` from
      `get_paged_mqa_logits_metadata`, or None. The kernel divides the work
      itself and does not read it.
    max_context_len: columns of the result.
    clean_logits: what lies beyond a row's keys is -inf, else undefined.
    logits_dtype: float32 or bfloat16.
    indices: int32 `[b]`, with next_n = 1: the sequence of each row.

  Returns:
    `[b * next_n, max_context_len]` in `logits_dtype`.

  Raises:
    TypeError: a dtype or form is wrong.
    ValueError: a shape or size is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or a gradient in weights is asked for.
  """
  values, scales = mqa_fp4_arguments.pair_of_q(q)
  if scales is None:
    return fp8_paged_mqa_logits(
      values,
      kv_cache,
      weights,
      context_lens,
      block_table,
      schedule_meta,
      max_context_len,
      clean_logits,
      logits_dtype,
      indices,
    )
  form = arguments.checked_paged_form(
    clean_logits, max_context_len, logits_dtype, indices is not None
  )
  codes, packed = mqa_fp4_arguments.checked_paged_q(values, scales)
  cache = arguments.checked_kv_cache(kv_cache, codes.shape[3], "d / 2")
  rows = arguments.checked_rows(
    codes.shape[:3], weights, context_lens, block_table, schedule_meta, indices
  )
  logits = functools.partial(
    paged_mqa_logits.fp8_fp4_paged_mqa_logits, form=form, options=current()
  )
  operands = (codes, cache, *rows[:3], packed, *rows[3:])
  return over_sequences(functools.partial(logits_of, logits), operands)
