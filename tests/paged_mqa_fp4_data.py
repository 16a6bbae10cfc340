"""FP4 operands of paged MQA logits, and what they stand for in float64."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tests import mqa_fp4_data, paged_mqa_data
from tests.mqa_fp4_data import NARROW

_NUMBERS = 9  # Seed of pages that entries of the table are cut to.


@dataclasses.dataclass(frozen=True)
class Fp4PagedOperands(paged_mqa_data.PagedOperands):
  """What `fp8_fp4_paged_mqa_logits` is given, in NumPy."""

  q_scales: np.ndarray = dataclasses.field(kw_only=True)

  def arguments(self, *settings: object) -> tuple[object, ...]:
    """Returns positional arguments: all up to indices, the last."""
    first = (self.cache, self.weights, self.lens, self.table)
    return ((self.q, self.q_scales), *first, None, *settings, self.indices)

  def dense_q(self) -> np.ndarray:
    """Returns float64 `[b, n, h, d]`."""
    return mqa_fp4_data.dequantized(self.q, self.q_scales)

  def dense_keys(self) -> np.ndarray:
    """Returns float64 `[blocks, block_kv, d]`."""
    codes, scales = paged_mqa_data.halves(self.cache)
    exponents = scales.view(np.int32)[..., 0]
    with np.errstate(invalid="ignore"):
      return mqa_fp4_data.dequantized(codes.view(np.int8), exponents)


def operands(
  lens: Sequence[Sequence[int]],
  num_heads: int,
  head_dim: int,
  block_kv: int,
  max_blocks: int,
  *,
  indices: Sequence[int] | None = None,
  wild: bool = False,
  q_exponents: tuple[int, int] = NARROW,
  key_exponents: tuple[int, int] = NARROW,
  wide_every: int = 1,
) -> Fp4PagedOperands:
  """Returns operands of len(lens) sequences.

  Pages, the table and `wild` are those of `paged_mqa_data.operands`; what is
  NaN there has scales of NaN here. Exponents are those of
  `mqa_fp4_data.operands`, of each `wide_every`th row and slot of the cache.
  """
  random = np.random.default_rng(7)
  lens = np.array(lens, np.int32)
  batch, next_n = lens.shape
  table, used = paged_mqa_data.pages_of(
    lens, block_kv, max_blocks, indices, wild, random
  )
  num_blocks = len(used)
  keys, scales = mqa_fp4_data.vectors(
    (num_blocks * block_kv,), head_dim, key_exponents, wide_every, 2
  )
  keys = keys.reshape(num_blocks, block_kv, -1)
  scales = scales.reshape(num_blocks, block_kv)
  scales[~used] = -1
  if wild:
    pages = [0, num_blocks - 1]
    numbers = mqa_fp4_data.vectors(
      (2 * block_kv,), head_dim, NARROW, 1, _NUMBERS
    )[1]
    scales[pages] = numbers.reshape(2, block_kv)
  q, q_scales = mqa_fp4_data.vectors(
    (batch * next_n, num_heads), head_dim, q_exponents, wide_every, 1
  )
  return Fp4PagedOperands(
    q.reshape(batch, next_n, num_heads, -1),
    paged_mqa_data.packed(keys, scales),
    paged_mqa_data.weights_of(batch * next_n, num_heads, random),
    lens,
    table,
    None if indices is None else np.array(indices, np.int32),
    q_scales=q_scales.reshape(batch, next_n, num_heads),
  )
