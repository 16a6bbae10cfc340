"""Groups of rows with results anywhere: each row in an array of its own."""

import dataclasses
import functools
from unittest import mock

import jax
import ml_dtypes
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from tests.emulator.emulator import System
from tests.emulator.m_grouped_case import GroupedCase

# Of elements that nobody is to write. Rows of no group are NaN in A.
_UNTOUCHED = 7.0


@dataclasses.dataclass(frozen=True)
class ScatteredCase:
  """A case of ragged groups, with an address for each row of its result.

  Every third row has none. Arrays end where a row does, so that what is written
  beside it is found.
  """

  grouped: GroupedCase

  def id(self) -> str:
    return f"scattered-{self.grouped.id()}"

  def run(self, emulator, seed):
    """Returns D; rows without an address, or of no group, are _UNTOUCHED."""
    case = self.grouped
    num_rows = case.groups.num_rows
    untouched = np.full(case.n, _UNTOUCHED, ml_dtypes.bfloat16)
    addresses = np.zeros((num_rows, 2), np.uint32)
    arrays = [*_buffers(case), addresses]
    place = len(arrays)
    arrays += [untouched.copy() for _ in range(num_rows)]
    pointers = [
      (place - 1, 8 * row, place + row)
      for row in range(num_rows)
      if _has_address(row)
    ]
    system = System([[self._call()]], arrays, [None] * len(arrays), pointers)
    emulator.run_system(system, seed)
    return np.stack(arrays[place:])

  def expected(self):
    return self.grouped.expected()

  def wrong_elements(self, result):
    """Returns indices of wrong elements, and of rows that were to stay."""
    exact, bound = self.expected()
    wrong = ~(np.abs(result.astype(np.float64) - exact) <= bound)
    ids = self.grouped.groups.ids()
    stays = (ids < 0) | ~_has_address(np.arange(len(ids)))
    wrong[stays] = result[stays] != _UNTOUCHED
    return np.argwhere(wrong)

  def roles(self, kernel):
    return self.grouped.roles(kernel)

  def _call(self):
    case = self.grouped
    a = case.operands()[0]
    with mock.patch.object(case.module, "choose_grouped", case.pick):
      return case.module.ragged_kernel_call(
        jax.ShapeDtypeStruct(a.shape, a.dtype),
        case.n,
        len(case.groups.sizes),
        1,
        H200,
        Options(num_sms=case.num_sms),
        scatters_rows=True,
      )


def _has_address(row):
  return row % 3 != 1


@functools.cache
def _buffers(case: GroupedCase) -> list[np.ndarray]:
  """Returns A, its scales column by column, B, its scales, and sizes.

  BF16 has no scales.
  """
  operands = case.operands()
  if len(operands) == 4:
    a, sfa, b, sfb = operands
    operands = (a, sfa.T, b, sfb)
  return [np.array(x, order="C") for x in (*operands, case.groups.array())]
