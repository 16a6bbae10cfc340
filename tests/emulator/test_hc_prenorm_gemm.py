"""The product with sums of squares is right in every schedule."""

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.hc_prenorm_case import HcCase, hc_case

NUM_SEEDS = 3
CASES = [
  # Every width, edges of m, n and k, a ring that goes round.
  hc_case(13, 24, 700, num_splits=1, num_math_warpgroups=1, stage_k_blocks=1),
  hc_case(137, 24, 330, num_splits=2, num_math_warpgroups=2, stage_k_blocks=1),
  hc_case(70, 5, 256, num_splits=1, num_math_warpgroups=2, stage_k_blocks=2),
  hc_case(64, 16, 129, num_splits=4, num_math_warpgroups=1, stage_k_blocks=2),
  hc_case(9, 31, 1032, num_splits=8, num_math_warpgroups=2, stage_k_blocks=2),
  hc_case(3, 8, 1088, num_splits=16, num_math_warpgroups=1, stage_k_blocks=1),
  # Several tiles along N, which read A again.
  hc_case(20, 40, 200, num_splits=2, num_math_warpgroups=1, block_n=32),
  hc_case(66, 24, 128, num_splits=1, num_math_warpgroups=1, block_n=8),
  # Partial results of unequal parts, one of them empty; groups.
  hc_case(5, 24, 460, partials=3, num_splits=2, num_math_warpgroups=1),
  hc_case(5, 3, 100, partials=4, num_splits=1, num_math_warpgroups=1),
  hc_case(66, 7, 136, groups=3, partials=2, num_splits=2, stage_k_blocks=2),
  hc_case(1, 1, 1, num_splits=1, num_math_warpgroups=1),
]


@pytest.mark.parametrize("case", CASES, ids=HcCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  emulator = Emulator(toolchain, roles=case.roles)
  first = case.run(emulator, seed=0)
  assert case.wrong_elements(first).size == 0
  for seed in range(1, NUM_SEEDS):
    # To the bit: splits are added in one order whichever is first.
    np.testing.assert_array_equal(case.run(emulator, seed), first)
