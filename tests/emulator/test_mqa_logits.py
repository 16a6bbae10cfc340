"""The MQA logits are right under a harsher memory model."""

import pytest

from tests.emulator.mqa_case import MqaCase, mqa_case
from tests.emulator.mqa_mutations import MQA_MUTATIONS
from tests.emulator.mutated import is_found
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 3
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_RAGGED = ((3, 17), (500, 400), (129, 531), (0, 0), (530, 531))

CASES = [
  # Causal ranges, several tiles and blocks for a CTA; a ring that goes round.
  mqa_case(9, 700, 64, 128, [(0, 650 + 3 * i) for i in range(9)]),
  # Ranges that begin anywhere, some empty; an odd number of keys.
  mqa_case(13, 531, 64, 128, _RAGGED, bank_n=64, max_columns=1),
  mqa_case(13, 531, 32, 32, _RAGGED, clean=False, float32_out=False),
  # Beyond the keys that there are, and fewer of them than a tile.
  mqa_case(3, 37, 64, 64, [(_LOWEST, _HIGHEST), (7, _LOWEST), (-5, 9)]),
  # Rows that begin with their first key, cut or with columns to spare.
  mqa_case(11, 531, 16, 64, _RAGGED, max_seqlen_k=203, float32_out=False),
  mqa_case(7, 300, 32, 128, [(290, 300), (3, 9)], max_seqlen_k=30, clean=False),
  # Many heads' worth of rows to a block; a long run of tiles; other warps.
  mqa_case(40, 300, 8, 32, [(i, 300 - 5 * i) for i in range(40)]),
  mqa_case(9, 1400, 16, 32, [(5, 1400), (40, 1390)], max_columns=2),
  mqa_case(
    9, 600, 64, 32, [(5, 600), (40, 590)], num_math_warpgroups=3, num_sms=1
  ),
  # More CTAs than tiles, and no tile at all.
  mqa_case(6, 200, 64, 32, [(0, 5)], num_sms=5, num_math_warpgroups=3),
  mqa_case(6, 200, 64, 32, [(5, 5)], num_sms=3),
  # More blocks without keys than lanes between two that have some.
  mqa_case(300, 70, 64, 32, [(1, 70), *[(2, 1)] * 298], num_sms=1),
  mqa_case(130, 70, 64, 32, [(1, 70), *[(2, 1)] * 127, (5, 60), (0, 0)]),
]


@pytest.mark.parametrize("case", CASES, ids=MqaCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize("mutation", MQA_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=12)
