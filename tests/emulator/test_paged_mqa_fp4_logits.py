"""The paged MQA logits of FP4 vectors under a harsher memory model."""

import dataclasses

import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.mutated import is_found
from tests.emulator.paged_mqa_fp4_case import Fp4PagedMqaCase, fp4_paged_case
from tests.emulator.paged_mqa_fp4_mutations import PAGED_MQA_FP4_MUTATIONS
from tests.emulator.schedules import assert_same_right_result
from tests.mqa_fp4_data import EXACT, NARROW, WIDE

NUM_SEEDS = 2
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1

CASES = [
  # Several tiles and sequences for a CTA; rings that go round; all shifts.
  fp4_paged_case(
    [300, 64, 0, 65, 1, 449],
    64,
    128,
    64,
    8,
    512,
    num_sms=1,
    q_exponents=EXACT,
    key_exponents=EXACT,
  ),
  # What a GPU is given, with as many warps that decode; two rows; bfloat16.
  fp4_paged_case(
    [(700, 690), (0, 3), (900, 64)],
    64,
    64,
    64,
    15,
    901,
    num_decode_warps=8,
    num_sms=1,
    clean=True,
    float32_out=False,
  ),
  # Two pages to a tile, swizzled each; lengths of any value, entries of the
  # table that name no page, and a CTA without a tile.
  fp4_paged_case(
    [_HIGHEST, _LOWEST, 33, 32, 97],
    32,
    128,
    32,
    5,
    170,
    clean=True,
    wild=True,
    num_sms=9,
  ),
  # More rows than a product has columns for; rows of 16 bytes.
  fp4_paged_case([(70, 71, 200), (9, 0, 5)], 64, 32, 32, 7, 221, bank_n=64),
  # The fewest columns of a product.
  fp4_paged_case([9] * 10 + [65, 0], 8, 32, 64, 2, 70, num_sms=1),
  # Rows of equal index share a tile.
  fp4_paged_case(
    [70, 71, 72, 9, 130, 64, 0, 200, 201, 202, 203, 204, 205, 5],
    64,
    32,
    64,
    4,
    209,
    indices=(3, 3, 3, 1, 0, 0, 7, *[2] * 6, 3),
    key_exponents=WIDE,
    wide_every=9,
  ),
  # Queries that no product can hold.
  fp4_paged_case(
    [(100, 140), (70, 9), (0, 190)],
    16,
    64,
    32,
    6,
    192,
    q_exponents=WIDE,
    wide_every=3,
    float32_out=False,
  ),
]


@pytest.mark.parametrize("case", CASES, ids=Fp4PagedMqaCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


def test_wide_rows_leave_their_neighbours_alone(toolchain):
  wide = fp4_paged_case(
    [(140, 130)] * 2,
    16,
    64,
    32,
    6,
    140,
    q_exponents=WIDE,
    wide_every=2,
    float32_out=False,
    clean=True,
  )
  narrow = dataclasses.replace(wide, q_exponents=NARROW)
  emulator = Emulator(toolchain, roles=wide.roles)
  found, expected = (case.run(emulator, seed=0) for case in (wide, narrow))
  assert found[1::2].tobytes() == expected[1::2].tobytes()
  assert found[::2].tobytes() != expected[::2].tobytes()


@pytest.mark.parametrize(
  "mutation", PAGED_MQA_FP4_MUTATIONS, ids=lambda m: m.name
)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=8)
