"""Float64 NumPy oracle of MQA logits, and operands to try it on."""

import ml_dtypes
import numpy as np

E4M3FN = np.dtype(ml_dtypes.float8_e4m3fn)


def codes(shape: tuple[int, ...], seed: int) -> np.ndarray:
  """Returns e4m3fn numbers up to 30 of both signs."""
  random = np.random.default_rng(seed)
  return (random.standard_normal(shape) * 8).clip(-30, 30).astype(E4M3FN)


def operands(
  num_rows: int,
  num_keys: int,
  num_heads: int,
  head_dim: int,
  ranges: list[tuple[int, int]],
) -> tuple[np.ndarray, ...]:
  """Returns q, keys, their scales, weights, starts and ends.

  Neighbours have other scales and weights, so that a wrong one shows. Ranges
  are those given, again and again. Keys of no row's range are NaN.
  """
  random = np.random.default_rng(7)
  q = codes((num_rows, num_heads, head_dim), 1)
  keys = codes((num_keys, head_dim), 2)
  scales = np.exp2(np.arange(num_keys) * 7 % 23 - 11.0).astype(np.float32)
  weights = random.standard_normal((num_rows, num_heads))
  weights *= np.exp2(np.arange(num_rows) % 5 - 2.0)[:, None]
  rows = [ranges[i % len(ranges)] for i in range(num_rows)]
  starts, ends = np.array(rows, np.int32).reshape(-1, 2).T
  seen = np.zeros(num_keys, bool)
  for start, end in rows:
    seen[max(start, 0) : max(end, 0)] = True
  keys[~seen] = np.nan
  scales[~seen] = np.nan
  return q, keys, scales, weights.astype(np.float32), starts, ends


def logits(
  q: np.ndarray,
  keys: np.ndarray,
  scales: np.ndarray,
  weights: np.ndarray,
  starts: np.ndarray,
  ends: np.ndarray,
  *,
  max_seqlen_k: int = 0,
  fill: float = -np.inf,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns logits and the sums of magnitudes behind them, row after row."""
  num_keys = len(keys)
  shape = (len(q), max_seqlen_k or num_keys)
  exact, magnitude = np.full(shape, fill), np.zeros(shape)
  for i in range(len(q)):
    first = min(max(int(starts[i]), 0), num_keys)
    last = min(max(int(ends[i]), first), num_keys)
    if max_seqlen_k:
      last = min(last, first + max_seqlen_k)
    row, used = q[i].astype(np.float64), keys[first:last].astype(np.float64)
    w, s = weights[i].astype(np.float64), scales[first:last].astype(np.float64)
    where = slice(0, last - first) if max_seqlen_k else slice(first, last)
    exact[i, where] = w @ np.maximum(row @ used.T, 0) * s
    magnitude[i, where] = np.abs(w) @ (np.abs(row) @ np.abs(used).T) * np.abs(s)
  return exact, magnitude


def wrong(
  found: np.ndarray, exact: np.ndarray, magnitude: np.ndarray, bits: float
) -> np.ndarray:
  """Returns indices of what is off by more than 2**-bits of the magnitudes.

  Or, in bfloat16, by more than one rounding besides. What is outside of the
  ranges must be equal.
  """
  rounding = 0.0 if found.dtype == np.float32 else 2.0**-8
  found = found.astype(np.float64)
  with np.errstate(invalid="ignore"):
    bound = magnitude * 2.0**-bits + np.abs(exact) * rounding
    near = np.abs(found - exact) <= bound
  return np.argwhere(~np.where(magnitude > 0, near, found == exact))
