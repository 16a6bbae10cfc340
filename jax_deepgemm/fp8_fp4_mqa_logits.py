"""The indexer's logits of FP4 queries and keys, or FP8."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm import mqa_arguments, mqa_fp4_arguments
from jax_deepgemm.mqa_logits import fp8_mqa_logits
from jax_deepgemm.options import Options, current
from jax_deepgemm.primitives import mqa_logits
from jax_deepgemm.primitives.mqa_form import MqaForm
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.row_sharding import over_rows


def fp8_fp4_mqa_logits(
  q: tuple[jax.Array, jax.Array | None],
  kv: Any,
  weights: jax.Array,
  cu_seq_len_k_start: jax.Array,
  cu_seq_len_k_end: jax.Array,
  clean_logits: bool = True,
  max_seqlen_k: int = 0,
  logits_dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
  """Returns `sum_h weights[i, h] * relu(q[i, h] . k[j])` of FP4 vectors.

  That is `fp8_mqa_logits` for codes of four bits, with a scale for 32 of them
  that acts inside of the product; keys have no other scale. With None for the
  scales of q both are FP8, and this is `fp8_mqa_logits`.

  q and kv are what `per_token_cast_to_fp4(x, use_ue8m0=True, gran_k=32,
  use_packed_ue8m0=True)` returns, with its last dimension of 1 or without.
  float32 scales, one for 32 codes, are packed here: they must be powers of two,
  what is none becomes NaN. Of packed scales d = 64 reads two bytes and d = 32
  one. A byte of 255 stands for NaN, and 0 for the scale 0.0.

  Ranges, what lies outside of them, `vmap` and sharding are those of
  `fp8_mqa_logits`. There are no gradients.

  On a Hopper GPU one kernel decodes and multiplies. Scales of a vector that are
  more than 2**14 apart beside codes that are not zero, or beyond 2**60, are
  computed without tensor cores: right, and slow where there are many.

  Args:
    q: pair of int8 `[s, h, d / 2]` and int32 scales `[s, h]`, h one of 8, 16,
      32 and 64, d one of 32, 64 and 128; or (float8_e4m3fn `[s, h, d]`, None).
    kv: pair of int8 `[k, d / 2]` and int32 scales `[k]`; that of
      `fp8_mqa_logits` beside FP8.
    weights: float32 `[s, h]`, of any sign.
    cu_seq_len_k_start: int32 `[s]`, first key of each row.
    cu_seq_len_k_end: int32 `[s]`, one past the last key.
    clean_logits: what lies outside of the ranges is -inf, not zero.
    max_seqlen_k: if not 0, row i begins with key cu_seq_len_k_start[i] and has
      this many columns; keys beyond them are left out.
    logits_dtype: float32 or bfloat16.

  Returns:
    `[s, k]`, or `[s, max_seqlen_k]`, in `logits_dtype`.

  Raises:
    TypeError: a dtype or form is wrong.
    ValueError: a shape or size is wrong.
    NotImplementedError: a gradient is asked for, or
      options(implementation="kernel") and the GPU is not Hopper.
  """
  values, scales = mqa_fp4_arguments.pair_of_q(q)
  others = (weights, cu_seq_len_k_start, cu_seq_len_k_end)
  if scales is None:
    settings = (clean_logits, max_seqlen_k, logits_dtype)
    return fp8_mqa_logits(values, kv, *others, *settings)
  form = mqa_arguments.checked_form(clean_logits, max_seqlen_k, logits_dtype)
  q_codes, q_scales = mqa_fp4_arguments.checked_q(values, scales)
  keys, key_scales = mqa_fp4_arguments.checked_kv(kv, q_codes.shape[2])
  others = mqa_arguments.checked_rows(*others, q_codes.shape[:2])
  operands = (q_codes, q_scales, keys, key_scales, *others)
  has_rows = (True, True, False, False, True, True, True)
  logits = functools.partial(_logits, form, current())
  return over_rows(logits, operands, has_rows)


def _logits(form: MqaForm, options: Options, *operands: jax.Array) -> jax.Array:
  operands = to_common_varying(operands)
  return mqa_logits.fp8_fp4_mqa_logits(*operands, form=form, options=options)
