"""The M-grouped BF16 GEMM is right for any sizes of groups, in every layout."""

import pytest

from tests.emulator.m_grouped_bf16_case import GroupedBf16Case, bf16_case
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 3

CASES = [
  # Groups that begin and end anywhere, empty ones, and rows of none.
  bf16_case("ragged", (3, 0, 70, 1, 17), 100, 150, m=101, block_n=64),
  bf16_case(
    "ragged",
    (65, 130, 0, 7),
    203,
    130,
    m=202,
    block_n=96,
    num_math_warpgroups=3,
  ),
  bf16_case("ragged", (0, 0), 40, 64, m=50, block_n=32),
  # B along N.
  bf16_case(
    "ragged", (3, 0, 70, 1, 17), 100, 150, m=101, block_n=64, b_mn_major=True
  ),
  bf16_case(
    "psum",
    (130, 0, 33),
    300,
    192,
    m=230,
    alignment=32,
    block_n=128,
    b_mn_major=True,
    cluster_n=2,
    num_sms=4,
  ),
  # Two slabs a warpgroup, of which the second may have no row; staging buffers
  # that whole and cut slabs use in turn.
  bf16_case(
    "psum",
    (130, 60, 200),
    140,
    128,
    m=520,
    alignment=64,
    num_slabs=2,
    block_n=64,
  ),
  bf16_case(
    "ragged",
    (330, 60, 200),
    200,
    128,
    m=600,
    num_slabs=2,
    block_n=96,
    num_store_slots=4,
  ),
  bf16_case(
    "psum", (1, 0, 33), 170, 192, m=110, alignment=32, block_n=160, num_sms=3
  ),
  bf16_case("masked", (0, 64, 5, 70), 100, 256, m=80, block_n=64),
  bf16_case("masked", (9, 3), 72, 128, m=20, block_n=32, zero_padding=False),
  # Group 1 before group 0.
  bf16_case("index", (30, 40), 90, 128, m=128, alignment=64, block_n=64),
  # Clusters that share B, or A; several blocks of K in a stage.
  bf16_case(
    "ragged",
    (150, 70, 10),
    70,
    128,
    m=240,
    block_n=64,
    cluster_m=2,
    num_math_warpgroups=1,
    num_sms=4,
  ),
  bf16_case(
    "ragged",
    (90, 30),
    300,
    256,
    m=121,
    block_n=96,
    cluster_n=2,
    stage_k_blocks=2,
    num_math_warpgroups=2,
    num_slabs=1,
    float32_out=True,
    num_sms=4,
  ),
  # More groups than a warp has lanes; one block of K.
  bf16_case("ragged", (1, 0, 2) * 15, 40, 64, m=50, block_n=32),
]


@pytest.mark.parametrize("case", CASES, ids=GroupedBf16Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS, case.defined())
