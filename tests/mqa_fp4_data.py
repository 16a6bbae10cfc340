"""FP4 operands of MQA logits, and what they stand for in float64."""

import numpy as np

from tests import mqa_data
from tests.gpu.fp4_data import dequantize_fp4, pack_exponents

# Exponents of a vector: alike, all that e4m3 holds exactly, one more, and far
# more.
NARROW, EXACT, ONE_MORE, WIDE = (124, 128), (113, 128), (112, 128), (90, 150)


def operands(
  num_rows: int,
  num_keys: int,
  num_heads: int,
  head_dim: int,
  ranges: list[tuple[int, int]],
  q_exponents: tuple[int, int] = NARROW,
  key_exponents: tuple[int, int] = NARROW,
  wide_every: int = 1,
) -> tuple[np.ndarray, ...]:
  """Returns q, its scales, keys, theirs, weights, starts and ends.

  Exponents are drawn from ranges whose end is excluded, those of all but each
  `wide_every`th row and key from NARROW. Bytes of scales that no code has are
  NaN, as are scales of keys of no row's range.
  """
  *_, weights, starts, ends = mqa_data.operands(
    num_rows, num_keys, num_heads, head_dim, ranges
  )
  q, q_scales = vectors(
    (num_rows, num_heads), head_dim, q_exponents, wide_every, 1
  )
  keys, scales = vectors((num_keys,), head_dim, key_exponents, wide_every, 2)
  seen = np.zeros(num_keys, bool)
  for start, end in zip(starts, ends, strict=True):
    seen[max(int(start), 0) : max(int(end), 0)] = True
  scales[~seen] = -1
  return q, q_scales, keys, scales, weights, starts, ends


def vectors(
  shape: tuple[int, ...],
  head_dim: int,
  exponents: tuple[int, int],
  wide_every: int,
  seed: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns codes and packed scales; of scales that no code has, NaN."""
  random = np.random.default_rng(seed)
  values = random.integers(0, 256, (*shape, head_dim // 2)).astype(np.uint8)
  narrow = random.integers(*NARROW, (*shape, 4))
  scales = random.integers(*exponents, (*shape, 4))
  index = np.arange(shape[0]).reshape(-1, *(1,) * len(shape))
  scales = np.where(index % wide_every == 0, scales, narrow)
  scales[..., head_dim // 32 :] = 255
  return values.view(np.int8), pack_exponents(scales)[..., 0]


def dequantized(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
  """Returns float64 `[..., d]`."""
  return dequantize_fp4(values, scales[..., None], 2 * values.shape[-1])


def logits(
  q: np.ndarray,
  q_scales: np.ndarray,
  keys: np.ndarray,
  key_scales: np.ndarray,
  weights: np.ndarray,
  starts: np.ndarray,
  ends: np.ndarray,
  **settings: float,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns logits and the sums of magnitudes behind them."""
  with np.errstate(invalid="ignore"):
    return mqa_data.logits(
      dequantized(q, q_scales),
      dequantized(keys, key_scales),
      np.ones(len(keys)),
      weights,
      starts,
      ends,
      **settings,
    )
