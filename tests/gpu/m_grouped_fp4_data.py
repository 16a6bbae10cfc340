"""Groups of rows with FP4 weights, and the float64 answer."""

import numpy as np

from tests.gpu.fp4_data import NARROW, dequantize_fp4, fp4_operands
from tests.gpu.gemm_data import dequantize
from tests.gpu.m_grouped_data import operands as fp8_operands


def operands(groups, n, k, exponents=NARROW, seed=0):
  """Returns a, sfa, b, sfb; rows of no group are NaN."""
  a, sfa, _, _ = fp8_operands(groups, n, k, seed)
  _, b = fp4_operands(
    1, n, k, groups=len(groups.sizes), exponents=exponents, seed=seed + 2
  )
  return a, sfa, *b


def product(groups, a, sfa, b, sfb):
  """Returns D and the sum of its terms' sizes; float64, zero in no group."""
  ids = groups.ids()
  k = a.shape[-1]
  d = np.zeros((groups.num_rows, b.shape[1]))
  size = np.zeros_like(d)
  left = dequantize(a.reshape(-1, k), sfa.reshape(len(ids), -1))
  right = dequantize_fp4(b, sfb, k)
  for group in range(len(groups.sizes)):
    rows = ids == group
    d[rows] = left[rows] @ right[group].T
    size[rows] = np.abs(left[rows]) @ np.abs(right[group]).T
  return d, size
