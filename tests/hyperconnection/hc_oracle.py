"""Operands of tf32_hc_prenorm_gemm, and the float64 answer.

Loops over blocks of K instead of the library's reshapes. Results are joined:
`[partials, ..., m, n + 1]` is D with the sums of squares behind it.
"""

import ml_dtypes
import numpy as np

# Of the sum of the terms' sizes: what 16 bits of b leave, and float32 sums.
KERNEL_ERROR = 2.0**-16 + 1e-6


def operands(m, n, k, *, groups=None, seed=0):
  """Returns (a bfloat16, b float32), `[groups, ...]` if given.

  Sizes differ from row to row and along k, so that a wrong row, column or block
  of K changes the result by a factor; b needs all of its bits.
  """
  random = np.random.default_rng(seed)
  lead = () if groups is None else (groups,)

  def values(rows):
    sizes = np.exp2(random.integers(-3, 4, (*lead, rows, 1)))
    sizes = sizes * np.exp2(random.integers(-2, 3, -(-k // 16)).repeat(16)[:k])
    return random.standard_normal((*lead, rows, k)) * sizes

  return values(m).astype(ml_dtypes.bfloat16), values(n).astype(np.float32)


def splits(k, count):
  """Returns the slices of K: blocks of 64, the first splits one more."""
  num_blocks = -(-k // 64)
  found, first = [], 0
  for split in range(count):
    size = num_blocks // count + (split < num_blocks % count)
    found.append(slice(first * 64, min((first + size) * 64, k)))
    first += size
  assert first == num_blocks
  return found


def partials(a, b, count=1):
  """Returns D and the sums of squares of each split, joined."""
  a, b = (np.asarray(x).astype(np.float64) for x in (a, b))
  parts = []
  for part in splits(a.shape[-1], count):
    x, y = a[..., part], b[..., part]
    parts.append(joined(x @ np.swapaxes(y, -1, -2), (x * x).sum(-1)))
  return np.stack(parts)


def joined(d, sqr_sum):
  d, sqr_sum = (np.asarray(x) for x in (d, sqr_sum))
  return np.concatenate([d, sqr_sum[..., None]], axis=-1)
