"""Groups of rows in each layout, and the float64 answer."""

import dataclasses

import ml_dtypes
import numpy as np

from tests.gpu.gemm_data import dequantize, scaled_operands


@dataclasses.dataclass(frozen=True)
class RowGroups:
  """Group sizes and how they lie in A.

  Attributes:
    layout: "index", "psum", "ragged" or "masked".
    sizes: rows of each group.
    m: rows of A; of each group if masked.
    alignment: of groups' first rows, for index and psum.
  """

  layout: str
  sizes: tuple[int, ...]
  m: int
  alignment: int = 1

  @property
  def num_rows(self) -> int:
    """Rows of A and D, of all groups."""
    masked = self.layout == "masked"
    return self.m * len(self.sizes) if masked else self.m

  def begins(self) -> list[int]:
    """Returns the first row of each group."""
    if self.layout == "masked":
      return [g * self.m for g in range(len(self.sizes))]
    begins, end = [], 0
    for size in self.sizes:
      begin = -(-end // self.alignment) * self.alignment
      begins.append(begin)
      end = begin + size
    return begins

  def ids(self) -> np.ndarray:
    """Returns the group of each row, -1 for none."""
    ids = np.full(self.num_rows, -1, np.int32)
    for group, begin in enumerate(self.begins()):
      ids[begin : begin + self.sizes[group]] = group
    return ids

  def array(self) -> np.ndarray:
    """Returns what the layout passes to the kernel."""
    if self.layout == "index":
      return self.ids()
    if self.layout == "psum":
      ends = np.array(self.begins()) + self.sizes
      return ends.astype(np.int32)
    return np.array(self.sizes, np.int32)


def operands(groups, n, k, seed=0):
  """Returns a, sfa, b, sfb; rows of no group are NaN."""
  (a, sfa), _ = scaled_operands(groups.num_rows, 1, k, seed=seed)
  _, (b, sfb) = scaled_operands(
    1, n, k, groups=len(groups.sizes), seed=seed + 1
  )
  nowhere = groups.ids() < 0
  a[nowhere] = np.nan
  sfa[nowhere] = np.nan
  if groups.layout == "masked":
    lead = (len(groups.sizes), groups.m)
    a, sfa = a.reshape(*lead, k), sfa.reshape(*lead, -1)
  return a, sfa, b, sfb


def product(groups, a, sfa, b, sfb):
  """Returns D and the sum of its terms' sizes; float64, zero in no group."""
  ids = groups.ids()
  n, k = b.shape[1:]
  d = np.zeros((groups.num_rows, n))
  size = np.zeros_like(d)
  left = dequantize(a.reshape(-1, k), sfa.reshape(len(ids), -1))
  right = dequantize(b, sfb)
  for group in range(len(groups.sizes)):
    rows = ids == group
    d[rows] = left[rows] @ right[group].T
    size[rows] = np.abs(left[rows]) @ np.abs(right[group]).T
  return d, size


def out_dtype(float32_out):
  return np.dtype(np.float32 if float32_out else ml_dtypes.bfloat16)
