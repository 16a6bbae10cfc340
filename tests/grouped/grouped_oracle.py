"""Float64 NumPy oracle of the m-grouped GEMMs, and problems to try it on."""

import dataclasses

import ml_dtypes
import numpy as np

import jax_deepgemm as dg
from tests.primitives.gemm_oracle import (
  E4M3FN,
  assert_is_product,
  codes,
  dequantized,
)

DEFAULT = ((1, 128), (128, 128))
LAYOUTS = ("index", "psum", "ragged", "masked")


def row_groups(layout, numbers, *, alignment, num_groups, num_rows):
  """Returns the group of each row, -1 for none, counting row by row."""
  found = [-1] * num_rows
  if layout == "index":
    return [int(g) if 0 <= g < num_groups else -1 for g in numbers]
  end = 0
  for g, number in enumerate(int(x) for x in numbers):
    if layout == "psum":
      start = -(-end // alignment) * alignment
      end = max(end, min(number, num_rows))
      rows = range(start, end)
    elif layout == "ragged":
      start, end = end, min(end + max(number, 0), num_rows)
      rows = range(start, end)
    else:
      start = g * (num_rows // num_groups)
      rows = range(start, start + min(max(number, 0), num_rows // num_groups))
    for row in rows:
      found[row] = g
  return found


@dataclasses.dataclass(frozen=True)
class Problem:
  """A layout array, the number of rows (of a group, if masked), the groups."""

  layout: str
  numbers: np.ndarray
  rows: int
  num_groups: int
  alignment: int = 16

  @property
  def groups(self) -> np.ndarray:
    """The group of each row, of all groups if masked."""
    masked = self.layout == "masked"
    return np.asarray(
      row_groups(
        self.layout,
        self.numbers,
        alignment=self.alignment,
        num_groups=self.num_groups,
        num_rows=self.rows * (self.num_groups if masked else 1),
      ),
      np.int32,
    )

  @property
  def leading(self) -> tuple[int, ...]:
    """The shape of a and the result without their last dimension."""
    masked = self.layout == "masked"
    return (self.num_groups, self.rows) if masked else (self.rows,)


def problem(layout: str, sizes, alignment: int = 16, spare: int = 0) -> Problem:
  """Returns the layout of groups of `sizes` rows and `spare` rows of none."""
  if layout == "masked":
    numbers, rows = sizes, max(sizes) + spare
  elif layout == "ragged":
    numbers, rows = sizes, sum(sizes) + spare
  else:
    ids, ends = [], []
    for group, size in enumerate(sizes):
      ids += [-1] * (-len(ids) % alignment) + [group] * size
      ends.append(len(ids))
    ids += [-1] * spare
    numbers, rows = (ids if layout == "index" else ends), len(ids)
  return Problem(
    layout, np.asarray(numbers, np.int32), rows, len(sizes), alignment
  )


def scaled(shape: tuple[int, ...], recipe: tuple[int, int], seed: int):
  """Returns e4m3fn values, and powers of two that differ between neighbours."""
  *groups, rows, k = shape
  blocks = (*groups, -(-rows // recipe[0]), -(-k // recipe[1]))
  exponents = sum(
    step * index
    for step, index in zip(
      (11, 7, 3)[-len(blocks) :], np.indices(blocks), strict=True
    )
  )
  scales = np.exp2(exponents % 23 - 14.0).astype(np.float32)
  return dg.ScaledArray(codes(shape, seed), scales)


def operands(p: Problem, n: int, k: int, recipes=DEFAULT):
  """Returns scaled a and b; rows of no group hold NaN in values and scales."""
  a = scaled((*p.leading, k), recipes[0], 1)
  b = scaled((p.num_groups, n, k), recipes[1], 2)
  dead = (p.groups < 0).reshape(p.leading)
  a.values[dead] = np.nan
  assert a.values.dtype == E4M3FN
  if recipes[0][0] == 1:
    a.scales[dead] = np.nan
  return a, b


def bf16_operands(p: Problem, n: int, k: int):
  """Returns plain a and b; rows of no group hold NaN."""
  rng = np.random.default_rng(3)
  a = rng.normal(size=(*p.leading, k)).astype(ml_dtypes.bfloat16)
  b = rng.normal(size=(p.num_groups, n, k)).astype(ml_dtypes.bfloat16)
  a[(p.groups < 0).reshape(p.leading)] = np.nan
  return a, b


def plain(operand, recipe) -> np.ndarray:
  """Returns float64 values of a scaled or plain operand, of two dimensions."""
  if isinstance(operand, dg.ScaledArray):
    return dequantized(operand, recipe)
  return operand.astype(np.float64)


def rows_of(x):
  """Returns the operand with one dimension of rows."""
  if isinstance(x, dg.ScaledArray):
    return dg.ScaledArray(rows_of(x.values), rows_of(x.scales))
  return np.asarray(x).reshape(-1, x.shape[-1])


def assert_is_grouped_product(
  d, a, b, p: Problem, recipes=DEFAULT, zero_rest: bool = True
) -> None:
  """Checks each row against its group's B, and that all other rows are zero.

  Scales of a must be one per row if p is masked.
  """
  assert d.shape == (*p.leading, b[0].shape[-2] if scaled_b(b) else b.shape[1])
  found, groups = rows_of(d), p.groups
  a_plain = plain(rows_of(a), recipes[0])
  for g in range(p.num_groups):
    rows = groups == g
    of_group = dg.ScaledArray(b.values[g], b.scales[g]) if scaled_b(b) else b[g]
    assert_is_product(found[rows], a_plain[rows], plain(of_group, recipes[1]))
  if zero_rest:
    np.testing.assert_array_equal(found[groups < 0].astype(np.float32), 0)


def scaled_b(b) -> bool:
  """Returns whether b is a pair."""
  return isinstance(b, dg.ScaledArray)


FP8 = {
  "index": dg.m_grouped_fp8_gemm_nt_contiguous,
  "psum": dg.m_grouped_fp8_gemm_nt_contiguous,
  "ragged": dg.m_grouped_fp8_gemm_nt_ragged,
  "masked": dg.m_grouped_fp8_gemm_nt_masked,
}
BF16 = {
  "index": dg.m_grouped_bf16_gemm_nt_contiguous,
  "psum": dg.m_grouped_bf16_gemm_nt_contiguous,
  "ragged": dg.m_grouped_bf16_gemm_nt_ragged,
  "masked": dg.m_grouped_bf16_gemm_nt_masked,
}


def multiply(functions, p: Problem, a, b, numbers=None, **settings):
  """Returns the product of the function for p's layout."""
  if p.layout == "psum":
    settings["use_psum_layout"] = True
  if p.layout == "masked":
    settings.setdefault("zero_padding", True)
  numbers = p.numbers if numbers is None else numbers
  with dg.options(mk_alignment=p.alignment):
    return functions[p.layout](a, b, numbers, **settings)
