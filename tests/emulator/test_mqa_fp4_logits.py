"""The MQA logits of FP4 vectors are right under a harsher memory model."""

import dataclasses

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.mqa_fp4_case import Fp4MqaCase, fp4_mqa_case
from tests.emulator.mqa_fp4_mutations import MQA_FP4_MUTATIONS
from tests.emulator.mutated import is_found
from tests.emulator.schedules import assert_same_right_result
from tests.mqa_fp4_data import EXACT, NARROW, ONE_MORE, WIDE

NUM_SEEDS = 2
_RAGGED = ((3, 17), (400, 300), (129, 331), (0, 0), (330, 331))

CASES = [
  # Several tiles and blocks for a CTA; rings that go round; all shifts.
  fp4_mqa_case(
    9,
    531,
    64,
    128,
    [(0, 490 + 5 * i) for i in range(9)],
    q_exponents=EXACT,
    key_exponents=EXACT,
  ),
  # Ranges that begin anywhere, an odd number of keys; bfloat16.
  fp4_mqa_case(7, 331, 32, 64, _RAGGED, clean=False, float32_out=False),
  fp4_mqa_case(
    7, 331, 16, 32, _RAGGED, max_seqlen_k=103, bank_n=64, max_columns=2
  ),
  # Fewer heads, and more rows to a block.
  fp4_mqa_case(40, 200, 8, 64, [(i, 200 - 5 * i) for i in range(40)]),
  # Vectors that no product can hold, some or all.
  fp4_mqa_case(5, 140, 64, 128, [(3, 140), (7, 9)], key_exponents=ONE_MORE),
  fp4_mqa_case(
    5, 140, 16, 64, [(3, 140), (7, 9)], q_exponents=WIDE, wide_every=3
  ),
  fp4_mqa_case(
    3,
    40,
    32,
    128,
    [(3, 33), (30, 40)],
    q_exponents=WIDE,
    key_exponents=WIDE,
    max_seqlen_k=20,
    float32_out=False,
  ),
  # No tile at all.
  fp4_mqa_case(6, 200, 16, 64, [(5, 5)], num_sms=3),
]


@pytest.mark.parametrize("case", CASES, ids=Fp4MqaCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


def test_wide_rows_leave_their_neighbours_alone(toolchain):
  wide = fp4_mqa_case(
    6, 140, 16, 64, [(3, 140)], q_exponents=WIDE, wide_every=2
  )
  narrow = dataclasses.replace(wide, q_exponents=NARROW)
  emulator = Emulator(toolchain, roles=wide.roles)
  found, expected = (case.run(emulator, seed=0) for case in (wide, narrow))
  np.testing.assert_array_equal(found[1::2], expected[1::2])
  assert not np.array_equal(found[::2], expected[::2])


@pytest.mark.parametrize("mutation", MQA_FP4_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=8)
