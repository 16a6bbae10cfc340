"""Logits of multi-query attention that choose keys: the indexer's scores."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm import mqa_arguments, mqa_gradient
from jax_deepgemm.options import current
from jax_deepgemm.row_sharding import over_rows


def fp8_mqa_logits(
  q: jax.Array,
  kv: Any,
  weights: jax.Array,
  cu_seq_len_k_start: jax.Array,
  cu_seq_len_k_end: jax.Array,
  clean_logits: bool = True,
  max_seqlen_k: int = 0,
  logits_dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
  """Returns `scale[j] * sum_h weights[i, h] * relu(q[i, h] . k[j])`.

  That is the logit of row i and key j, if j is in row i's range,

    cu_seq_len_k_start[i] <= j < cu_seq_len_k_end[i].

  All other elements are -inf, or zero without clean_logits; one kernel writes
  the whole result. Ranges are read on the device: they are cut to the keys
  that there are, and may be empty. Sums over heads are float32, in one order:
  a row's logits do not depend on other rows.

  q has no scales: as they are positive, they go into weights. A plain q or kv
  is quantised here, one scale per vector. Gradients flow to plain arrays, those
  of the unquantised formula, computed in jax.numpy in chunks of rows, and to
  weights. `vmap` over rows with common keys makes one launch. Rows may be
  sharded, keys are gathered.

  Args:
    q: float8_e4m3fn `[s, h, d]`, h one of 8, 16, 32 and 64, d one of 32, 64 and
      128; or plain bfloat16 or float32.
    kv: pair of float8_e4m3fn `[k, d]` and float32 scales `[k]`, a
      `ScaledArray`, or a plain `[k, d]`.
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
    TypeError: a dtype or form is wrong, or a gradient of a quantised operand is
      asked for.
    ValueError: a shape or size is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper.
  """
  form = mqa_arguments.checked_form(clean_logits, max_seqlen_k, logits_dtype)
  q = mqa_arguments.checked_q(q)
  kv = mqa_arguments.checked_kv(kv, q.shape[2])
  rows = mqa_arguments.checked_rows(
    weights, cu_seq_len_k_start, cu_seq_len_k_end, q.shape[:2]
  )
  logits = functools.partial(mqa_gradient.logits, form, current())
  operands = (q, kv, *rows)
  has_rows = (True, False, True, True, True)
  return over_rows(logits, operands, has_rows)
