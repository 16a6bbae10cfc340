"""Keys with the largest logits: the indexer's choice for attention."""

import functools
from typing import Any

import jax
import numpy as np

from jax_deepgemm import mqa_arguments, mqa_fp4_arguments, mqa_topk_gradient
from jax_deepgemm.gemm_operands import as_pair
from jax_deepgemm.options import Options, current
from jax_deepgemm.primitives.mqa_topk import mqa_topk as topk_primitive
from jax_deepgemm.primitives.varying import to_common_varying
from jax_deepgemm.row_sharding import over_rows

_MOST = 2**31 - 1


def mqa_topk(
  q: Any,
  kv: Any,
  weights: jax.Array,
  cu_seq_len_k_start: jax.Array,
  cu_seq_len_k_end: jax.Array,
  k: int,
  max_seqlen_k: int = 0,
) -> tuple[jax.Array, jax.Array]:
  """Returns the k largest of `fp8_mqa_logits` of each row, and their keys.

  Of `fp8_fp4_mqa_logits` if q is a pair. As `jax.lax.top_k` of the logits
  within the row's range,

    cu_seq_len_k_start[i] <= j < cu_seq_len_k_end[i],

  but logits of all rows are never in memory together: rows are computed in
  chunks, on a Hopper GPU with at most 144 MB of logits (192 MB for so many keys
  that fewer rows than multiprocessors would fit).

  The choice is exact for the logits that are computed, and the same each time:
  values in descending order, of equal ones the lower key first. NaN comes
  before all others; zeros of both signs are equal and come as 0. A row's result
  does not depend on other rows.

  Gradients flow from the values to plain q and kv and to weights, as those of
  `fp8_mqa_logits` do; the indices have none, and neither has FP4. `vmap` over
  rows with common keys makes one call. Rows may be sharded, keys are gathered.

  Args:
    q: as for `fp8_mqa_logits`, `[s, h, d]`, or a pair of FP4 codes and scales
      as for `fp8_fp4_mqa_logits`.
    kv: as there, `[num_keys, d]`.
    weights: float32 `[s, h]`, of any sign.
    cu_seq_len_k_start: int32 `[s]`, first key of each row.
    cu_seq_len_k_end: int32 `[s]`, one past the last key; ranges are cut to the
      keys that there are, and may be empty.
    k: how many keys are wanted, at least 1; the Hopper kernel has up to 16384,
      or as many as a row can have.
    max_seqlen_k: if not 0, keys of a row beyond this many are left out; the
      logits in memory are as many, so that more rows fit.

  Returns:
    Values, float32, and indices of keys, int32, both `[s, k]`. Where a row has
    fewer keys they are -inf and -1.

  Raises:
    TypeError: a dtype or form is wrong, or a gradient of a quantised operand is
      asked for.
    ValueError: a shape or size is wrong.
    NotImplementedError: options(implementation="kernel") and the GPU is not
      Hopper, or k is too large for the kernel.
  """
  check_size("k", k, 1)
  check_size("max_seqlen_k", max_seqlen_k, 0)
  sizes = (int(k), int(max_seqlen_k), current())
  ranges = (cu_seq_len_k_start, cu_seq_len_k_end)
  if as_pair("q", q) is not None:
    return _of_fp4(sizes, q, kv, weights, *ranges)
  q = mqa_arguments.checked_q(q)
  kv = mqa_arguments.checked_kv(kv, q.shape[2])
  rows = mqa_arguments.checked_rows(weights, *ranges, q.shape[:2])
  topk = functools.partial(mqa_topk_gradient.topk, *sizes)
  return over_rows(topk, (q, kv, *rows), (True, False, True, True, True))


def _of_fp4(
  sizes: tuple[int, int, Options], q: Any, kv: Any, *rows: Any
) -> tuple[jax.Array, jax.Array]:
  """Returns what `mqa_topk` does for a pair of codes and scales."""
  q, q_scales = mqa_fp4_arguments.checked_q(*as_pair("q", q).values())
  kv = mqa_fp4_arguments.checked_kv(kv, q.shape[2])
  rows = mqa_arguments.checked_rows(*rows, q.shape[:2])
  k, max_seqlen_k, options = sizes

  def topk(*operands: jax.Array) -> tuple[jax.Array, jax.Array]:
    return topk_primitive(
      *to_common_varying(operands),
      k=k,
      max_seqlen_k=max_seqlen_k,
      options=options,
    )

  has_rows = (True, False, False, True, True, True, True)
  return over_rows(topk, (q, *kv, *rows, q_scales), has_rows)


def check_size(name: str, size: Any, least: int) -> None:
  """Returns nothing; raises unless `size` is an integer from `least` on.

  Raises:
    TypeError: it is none.
    ValueError: it is out of its range.
  """
  if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
    raise TypeError(f"{name} must be an integer, got {size!r}")
  if not least <= size <= _MOST:
    raise ValueError(f"{name} must be {least} to {_MOST}, got {size}")
