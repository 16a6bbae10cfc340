"""Groups of rows with FP4 weights are right in every layout."""

import pytest

from tests.emulator.m_grouped_fp4_case import few_rows_case, grouped_fp4_case
from tests.emulator.schedules import assert_same_right_result
from tests.gpu.fp4_data import EXACT, WIDE

NUM_SEEDS = 3

CASES = [
  grouped_fp4_case(
    "masked", (0, 64, 5, 70), 100, 416, m=80, block_n=64, exponents=EXACT
  ),
  grouped_fp4_case("masked", (9, 3), 72, 256, m=20, zero_padding=False),
  grouped_fp4_case("ragged", (3, 0, 70, 1, 17), 140, 160, m=101, block_n=128),
  grouped_fp4_case(
    "psum",
    (130, 60, 200),
    100,
    256,
    m=520,
    alignment=64,
    num_slabs=2,
    block_n=64,
    exponents=WIDE,
  ),
  grouped_fp4_case("index", (30, 40), 90, 256, m=128, alignment=64, block_n=96),
  grouped_fp4_case(
    "ragged",
    (150, 70, 10),
    70,
    288,
    m=240,
    block_n=64,
    cluster_m=2,
    num_math_warpgroups=1,
    num_sms=4,
  ),
  # Few rows: empty groups, one of several tiles, odd sizes and ends of K,
  # several K blocks a stage, both warpgroups, more stages than a tile has.
  few_rows_case(
    "masked", (0, 19, 1, 8), 100, 416, m=24, block_m=8, exponents=EXACT
  ),
  few_rows_case(
    "masked", (9, 3), 72, 512, m=20, zero_padding=False, stage_k_blocks=2
  ),
  few_rows_case(
    "ragged",
    (3, 0, 40, 1, 17),
    140,
    160,
    m=70,
    block_m=24,
    num_math_warpgroups=2,
    float32_out=True,
    num_stages=3,
  ),
  few_rows_case(
    "psum",
    (13, 60, 1),
    70,
    1120,
    m=200,
    alignment=64,
    block_m=16,
    stage_k_blocks=4,
    exponents=WIDE,
  ),
  few_rows_case("index", (30, 40), 90, 256, m=128, alignment=64, block_m=64),
  # Sizes that lie: below zero, and past the last row.
  few_rows_case(
    "ragged",
    (9, 0, 16, 0),
    72,
    128,
    m=25,
    claimed=(9, -(2**31), 2**31 - 1, 5),
    block_m=8,
  ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id())
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)
