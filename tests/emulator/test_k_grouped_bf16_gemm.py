"""The K-grouped BF16 GEMM is right under a harsher memory model."""

import pytest

from tests.emulator.k_grouped_bf16_case import KBf16Case, k_bf16_case
from tests.emulator.k_grouped_bf16_mutations import K_GROUPED_BF16_MUTATIONS
from tests.emulator.mutated import is_found
from tests.emulator.schedules import (
  assert_same_result,
  assert_same_right_result,
)

NUM_SEEDS = 3

CASES = [
  # Sizes of all kinds; several tiles for each of two CTAs.
  k_bf16_case(70, 150, (130, 0, 1, 64, 200), block_n=64),
  k_bf16_case(70, 150, (130, 0, 1, 64, 200), block_n=64, with_c=True),
  # Rows of no group between the groups: NaN must not leak.
  k_bf16_case(72, 64, (65, 0, 63, 129, 1), block_n=64, gap=3, with_c=True),
  # Odd m and n; clusters that share B, or A; a cut in stages of both CTAs.
  k_bf16_case(259, 37, (257, 1, 129), block_n=64, cluster_m=2, num_sms=4),
  k_bf16_case(
    33, 201, (65, 320), cluster_n=2, block_n=64, num_sms=4, with_c=True
  ),
  # Groups of one block each: every stage of the ring is cut, round by round.
  k_bf16_case(40, 60, (5, 63, 1, 17, 33, 62, 2, 9), block_n=64, num_sms=1),
  # One giant group among many small and empty ones; more groups than threads.
  k_bf16_case(40, 30, (1, 0, 450, 0, 7, 0, 65), block_n=64, num_sms=3),
  k_bf16_case(20, 20, (*(0, 5, 1) * 90, 70), block_n=64, with_c=True),
  # Empty: all of them.
  k_bf16_case(70, 40, (0, 0, 0), block_n=64),
  k_bf16_case(70, 40, (0, 0, 0), block_n=64, with_c=True),
  # Arrays that end with the last group.
  k_bf16_case(66, 64, (128, 50), block_n=64, spare=0),
  # Tiles as large shapes have them.
  k_bf16_case(
    200, 136, (70, 130), num_math_warpgroups=3, block_n=128, with_c=True
  ),
  k_bf16_case(270, 136, (70, 130), num_slabs=2, block_n=64, num_store_slots=4),
  k_bf16_case(
    140,
    200,
    (70, 200),
    num_math_warpgroups=2,
    num_slabs=1,
    block_n=192,
    with_c=True,
  ),
  # In bfloat16.
  k_bf16_case(70, 150, (130, 0, 1, 64, 200), block_n=64, float32_out=False),
  k_bf16_case(
    259,
    265,
    (257, 0, 129),
    block_n=256,
    cluster_m=2,
    num_sms=4,
    float32_out=False,
    gap=3,
  ),
  # Groups in parts, some of them empty.
  k_bf16_case(70, 41, (500, 0, 50), block_n=64, num_parts=4, float32_out=False),
  k_bf16_case(70, 40, (500, 0, 50), block_n=64, num_parts=4),
  k_bf16_case(70, 41, (500, 0, 50), block_n=64, num_parts=2, with_c=True),
]


@pytest.mark.parametrize("case", CASES, ids=KBf16Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize(
  ("starts", "sizes"),
  [
    ((2**31 - 1, -(2**31), 5), (2**31 - 1, 2**31 - 1, 5)),
    ((0, 139, 140), (-(2**31), 400, -1)),
    ((-7, 50, 10**6), (10**6, 0, 10**6)),
  ],
)
@pytest.mark.parametrize("with_c", [False, True])
def test_wrong_groups_touch_nothing_outside_the_arrays(
  toolchain, starts, sizes, with_c
):
  case = k_bf16_case(
    70,
    40,
    (130, 0, 1),
    block_n=64,
    claimed_starts=starts,
    claimed=sizes,
    with_c=with_c,
  )
  # Which elements are wrong is open.
  assert_same_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize(
  "mutation", K_GROUPED_BF16_MUTATIONS, ids=lambda m: m.name
)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=12)
