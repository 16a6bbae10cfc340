"""The product with sums of squares is right in every schedule."""

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.hc_prenorm_case import HcCase, hc_case, operands
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 3
CASES = [
  # Every width, edges of m, n and k, a ring that goes round.
  hc_case(13, 24, 700, num_splits=1, num_math_warpgroups=1, stage_k_blocks=1),
  hc_case(137, 24, 330, num_splits=2, num_math_warpgroups=2, stage_k_blocks=1),
  hc_case(70, 5, 256, num_splits=1, num_math_warpgroups=2, stage_k_blocks=2),
  hc_case(64, 16, 129, num_splits=4, num_math_warpgroups=1, stage_k_blocks=2),
  hc_case(9, 31, 648, num_splits=8, num_math_warpgroups=2, stage_k_blocks=2),
  hc_case(3, 8, 1088, num_splits=16, num_math_warpgroups=1, stage_k_blocks=1),
  # Several tiles along N, which read A again.
  hc_case(20, 40, 200, num_splits=2, num_math_warpgroups=1, block_n=32),
  hc_case(66, 24, 128, num_splits=1, num_math_warpgroups=1, block_n=8),
  # Partial results of unequal parts, one of them empty; groups.
  hc_case(5, 24, 460, partials=3, num_splits=2, num_math_warpgroups=1),
  hc_case(5, 3, 100, partials=4, num_splits=1, num_math_warpgroups=1),
  hc_case(66, 7, 136, groups=3, partials=2, num_splits=2, stage_k_blocks=2),
  hc_case(1, 1, 1, num_splits=1, num_math_warpgroups=1),
  # Teams, one of them without a stage, and more stages than a round.
  hc_case(70, 24, 330, num_splits=2, num_math_warpgroups=2, num_teams=2),
  hc_case(9, 8, 720, num_splits=1, num_teams=4, num_stages=4, stage_k_blocks=1),
  hc_case(66, 16, 700, num_splits=4, num_teams=2, num_stages=4, partials=2),
]


@pytest.mark.parametrize("case", CASES, ids=HcCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


def test_equal_rows_have_equal_bits_wherever_they_lie(toolchain):
  case = CASES[1]
  emulator = Emulator(toolchain, roles=case.roles)
  a, b = operands(case.problem)
  result = case.run(emulator, 0, (np.repeat(a[:, :1], a.shape[1], axis=1), b))
  rows = np.broadcast_to(result[:, :, :1], result.shape)
  np.testing.assert_array_equal(result, rows)


def test_what_is_not_finite_stays_so_in_its_row_and_column(toolchain):
  case = CASES[0]
  emulator = Emulator(toolchain, roles=case.roles)
  a, b = (x.copy() for x in operands(case.problem))
  a[0, 3, 10] = np.nan
  b[0, 5, 20], b[0, 7, 30] = np.inf, np.finfo(np.float32).max
  b[0, 9, 40] = np.array([0x7F800001], np.uint32).view(np.float32)[0]
  result = case.run(emulator, 0, (a, b))[0, 0]
  assert np.isnan(result[3]).all()
  others = np.delete(result, 3, axis=0)
  sign = np.sign(np.delete(a[0, :, 20], 3).astype(np.float64))
  np.testing.assert_array_equal(others[:, 5], sign * np.inf)
  largest = np.delete(a[0, :, 30], 3).astype(np.float64) * b[0, 7, 30]
  with np.errstate(over="ignore"):
    largest = largest.astype(np.float32)  # Some are infinite.
  np.testing.assert_allclose(others[:, 7], largest, rtol=1e-4)
  assert np.isnan(others[:, 9]).all()
  assert np.isfinite(np.delete(others, [5, 7, 9], axis=1)).all()
