"""Groups of rows of BF16 whose results have an address each."""

import dataclasses
from unittest import mock

import jax
import ml_dtypes
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_m_grouped_bf16_gemm
from tests.emulator.emulator import System
from tests.emulator.m_grouped_bf16_case import GroupedBf16Case
from tests.emulator.m_grouped_case import expected, make

_ADDRESS_BYTES = 8


@dataclasses.dataclass(frozen=True)
class ScatteredBf16Case(GroupedBf16Case):
  """As `GroupedBf16Case`; every row of the result is an array of its own.

  Some rows have no address; those of no group have one that must not be used.
  """

  def targets(self):
    """Returns the array in which each row's result is to lie, or -1."""
    random = np.random.default_rng(5)
    rows = self.groups.num_rows
    return np.where(np.arange(rows) % 4 != 2, random.permutation(rows), -1)

  def id(self):
    return f"scattered-{super().id()}"

  def run(self, emulator, seed):
    """Returns results in the order of A's rows, NaN where none was written."""
    a, b = self.operands()
    targets = self.targets()
    arrays = [a, b, self.numbers(), np.zeros(len(a), np.uint64)]
    first = len(arrays)
    arrays += [
      np.full(self.n, 0xFFFF, np.uint16).view(ml_dtypes.bfloat16)
      for _ in targets
    ]
    pointers = [
      (first - 1, _ADDRESS_BYTES * row, first + int(target))
      for row, target in enumerate(targets)
      if target >= 0
    ]
    arrays = [np.array(x, order="C") for x in arrays]
    calls = [self._call(a, b)]
    emulator.run_system(
      System([calls], arrays, [None] * len(arrays), pointers), seed
    )
    result = np.stack(arrays[first:])[targets]
    # What has no address may be nowhere.
    unused = np.setdiff1d(np.arange(len(targets)), targets)
    result[targets < 0] = np.stack(arrays[first:])[unused]
    return result

  def _call(self, a, b):
    module = sm90_m_grouped_bf16_gemm
    with mock.patch.object(module, "choose_grouped", self.pick):
      return module.ragged_kernel_call(
        jax.ShapeDtypeStruct(a.shape, a.dtype),
        self.n,
        len(b),
        1,
        H200,
        Options(num_sms=self.num_sms),
        scatters_rows=True,
      )

  def wrong_elements(self, result):
    """Returns what is too far off, or was written without being wanted."""
    exact, bound = expected(self)
    error = np.abs(result.astype(np.float64) - exact)
    wanted = (self.groups.ids() >= 0) & (self.targets() >= 0)
    untouched = np.isnan(result.astype(np.float64))
    return np.argwhere(np.where(wanted[:, None], ~(error <= bound), ~untouched))


def scattered_case(sizes, n, k, *, m, **fields):
  return make(ScatteredBf16Case, "ragged", sizes, n, k, m, 1, fields)
