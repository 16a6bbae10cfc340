"""Operands of the BF16 GEMM in any layout, and the float64 answer."""

import ml_dtypes
import numpy as np


def operands(m, n, k, *, layout="nt", groups=None, seed=0):
  """Returns (a, b) as NumPy arrays, `[groups, ...]` if given.

  Values differ in size from row to row of the result and along k, so that a
  wrong row, column or block of K changes the result by a factor.
  """
  random = np.random.default_rng(seed)
  lead = () if groups is None else (groups,)

  def values(rows, transposed):
    sizes = np.exp2(random.integers(-3, 4, (*lead, rows, 1)))
    sizes = sizes * np.exp2(random.integers(-2, 3, -(-k // 16)).repeat(16)[:k])
    x = (random.standard_normal((*lead, rows, k)) * sizes).astype(
      ml_dtypes.bfloat16
    )
    return np.ascontiguousarray(np.swapaxes(x, -1, -2)) if transposed else x

  return values(m, layout[0] == "t"), values(n, layout[1] == "n")


def product(a, b, c=None, *, layout="nt"):
  """Returns C + A B in float64."""
  d = np.matmul(*_factors(a, b, layout))
  return d if c is None else d + np.asarray(c).astype(np.float64)


def magnitude(a, b, c=None, *, layout="nt"):
  """Returns |C| + |A| |B|, which rounding errors are relative to."""
  d = np.matmul(*(np.abs(x) for x in _factors(a, b, layout)))
  return d if c is None else d + np.abs(np.asarray(c).astype(np.float64))


def _factors(a, b, layout):
  a, b = (np.asarray(x).astype(np.float64) for x in (a, b))
  if layout[0] == "t":
    a = np.swapaxes(a, -1, -2)
  if layout[1] == "t":
    b = np.swapaxes(b, -1, -2)
  return a, b
