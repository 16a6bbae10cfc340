"""The paged MQA logits are right under a harsher memory model."""

import pytest

from tests.emulator.mutated import is_found
from tests.emulator.paged_mqa_case import PagedMqaCase, paged_case
from tests.emulator.paged_mqa_mutations import PAGED_MQA_MUTATIONS
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 2
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1

CASES = [
  # Several tiles and sequences for a CTA; a ring that goes round.
  paged_case([300, 64, 0, 65, 1, 449], 64, 128, 64, 8, 512),
  # Two rows each, of their own lengths; an odd width that cuts; bfloat16.
  paged_case(
    [(100, 130), (0, 0), (257, 3), (900, 64)],
    32,
    64,
    64,
    5,
    301,
    clean=True,
    float32_out=False,
  ),
  # Two pages to a tile; lengths of any value, and more columns than keys.
  paged_case(
    [_HIGHEST, _LOWEST, 33, 32, 97], 64, 32, 32, 5, 170, clean=True, num_sms=3
  ),
  # More rows than a product has columns for, one of them padding.
  paged_case([(70, 71, 200), (9, 0, 5)], 64, 32, 32, 7, 221, bank_n=128),
  # More than a block of rows: keys come twice.
  paged_case(
    [tuple(range(60, 69)), tuple(range(9))], 64, 32, 64, 2, 80, num_sms=3
  ),
  paged_case(
    [tuple(range(33)), (150,) * 33],
    8,
    32,
    64,
    3,
    150,
    rounds=1,
    num_math_warpgroups=2,
  ),
  # Few columns; many short sequences; more than 32 pages of one.
  paged_case([9] * 40 + [65, 0], 8, 32, 64, 2, 70, num_sms=1),
  paged_case([1100, 0, 1071], 16, 32, 32, 35, 1100, float32_out=False),
  # Entries of the table that name no page.
  paged_case([190, 64, 100], 32, 128, 64, 3, 192, wild=True),
  # Rows of equal index share a tile; runs of 1 to 9, of which the rows that are
  # multiplied together are 4, and one that all rows are of.
  paged_case(
    [70, 71, 72, 9, 130, 64, 0, 200, 201, 202, 203, 204, 205, 206, 207, 208, 5],
    64,
    32,
    64,
    4,
    209,
    indices=(3, 3, 3, 1, 0, 0, 7, *[2] * 9, 3),
    clean=True,
  ),
  paged_case(range(130, 169), 64, 32, 64, 3, 170, indices=(5,) * 39, num_sms=3),
  # More than a warp's, with no key between two that have some.
  paged_case([1, *[0] * 70, 66], 16, 32, 64, 2, 66, indices=tuple(range(72))),
  # More CTAs than tiles, and no tile at all.
  paged_case([3, 0, 65], 64, 32, 64, 2, 99, num_sms=5, clean=True),
  paged_case([0, 0], 64, 32, 64, 2, 99, num_sms=3, clean=True),
]


@pytest.mark.parametrize("case", CASES, ids=PagedMqaCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize("mutation", PAGED_MQA_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=12)
