"""BF16 operands of groups of rows, and the float64 answer."""

import numpy as np

from tests.gpu import bf16_data


def operands(groups, n, k, *, b_mn_major=False, seed=0):
  """Returns a and b; rows of no group are NaN."""
  a, _ = bf16_data.operands(groups.num_rows, 1, k, seed=seed)
  _, b = bf16_data.operands(
    1,
    n,
    k,
    layout="nn" if b_mn_major else "nt",
    groups=len(groups.sizes),
    seed=seed + 1,
  )
  a[groups.ids() < 0] = np.nan
  if groups.layout == "masked":
    a = a.reshape(len(groups.sizes), groups.m, k)
  return a, b


def product(groups, a, b, *, b_mn_major=False):
  """Returns D and the sum of its terms' sizes; float64, zero in no group."""
  ids = groups.ids()
  layout = "nn" if b_mn_major else "nt"
  rows = a.reshape(len(ids), -1)
  d = np.zeros((len(ids), b.shape[2 if b_mn_major else 1]))
  size = np.zeros_like(d)
  for group in range(len(groups.sizes)):
    own = ids == group
    d[own] = bf16_data.product(rows[own], b[group], layout=layout)
    size[own] = bf16_data.magnitude(rows[own], b[group], layout=layout)
  return d, size
