"""K-grouped bfloat16 operands, `[rows of all groups, m]`, and the answer."""

import ml_dtypes
import numpy as np

from tests.k_grouped_data import product


def starts_of(sizes, gap=0):
  """Returns the first row of each group, `gap` rows behind the one before."""
  ends = np.cumsum([size + gap for size in sizes])
  return [int(end) - size - gap for end, size in zip(ends, sizes, strict=True)]


def num_rows(sizes, gap=0, spare=0):
  """Returns the rows of an array with `spare` of them behind the groups."""
  return sum(sizes) + gap * len(sizes) + spare


def operand(columns, sizes, *, gap=0, spare=0, seed=0):
  """Returns `[num_rows, columns]` bfloat16; rows of no group are NaN.

  Values differ in size from column to column, from group to group and every 8
  rows, so that a wrong one changes the result by a factor.
  """
  random = np.random.default_rng(seed)
  shape = (num_rows(sizes, gap, spare), columns)
  x = np.full(shape, np.nan, ml_dtypes.bfloat16)
  of_columns = np.exp2(random.integers(-3, 4, columns))
  for start, size in zip(starts_of(sizes, gap), sizes, strict=True):
    exponents = random.integers(-2, 3, -(-size // 8)).repeat(8)[:size, None]
    values = random.standard_normal((size, columns)) * np.exp2(exponents)
    x[start : start + size] = values * of_columns
  return x


def expected(a, b, sizes, c=None, *, gap=0):
  """Returns D `[g, m, n]` in float64, and the sums of magnitudes."""
  groups = [
    [
      np.asarray(x[start : start + size]).astype(np.float64).T
      for start, size in zip(starts_of(sizes, gap), sizes, strict=True)
    ]
    for x in (a, b)
  ]
  return product(*groups, c)
