"""The MQA logits are right under a harsher memory model."""

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.mqa_case import MqaCase, mqa_case

NUM_SEEDS = 3
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1

CASES = [
  # Causal ranges, several tiles and blocks for a CTA; a ring that goes round.
  mqa_case(9, 700, 64, 128, [(0, 650 + 3 * i) for i in range(9)]),
  # Ranges that begin anywhere, some empty; an odd number of keys.
  mqa_case(
    13, 531, 64, 128, [(3, 17), (500, 400), (129, 531), (0, 0), (530, 531)]
  ),
]


@pytest.mark.parametrize("case", CASES, ids=MqaCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  emulator = Emulator(toolchain, roles=case.roles)
  first = case.run(emulator, seed=0)
  assert case.wrong_elements(first).size == 0
  for seed in range(1, NUM_SEEDS):
    # To the bit: sums are added in one order whatever runs first.
    np.testing.assert_array_equal(case.run(emulator, seed), first)
