"""The K-grouped FP8 GEMM is right under a harsher memory model."""

import pytest

from tests.emulator.k_grouped_case import KCase, k_case
from tests.emulator.k_grouped_mutations import K_GROUPED_MUTATIONS
from tests.emulator.mutated import is_found
from tests.emulator.schedules import (
  assert_same_result,
  assert_same_right_result,
)

NUM_SEEDS = 3

CASES = [
  # Sizes of all kinds; several tiles for each of two CTAs.
  k_case(70, 150, (130, 0, 1, 128, 300), block_n=64),
  k_case(70, 150, (130, 0, 1, 128, 300), block_n=64, with_c=True),
  # Odd m and n; a ring that goes round; clusters that share B, or A.
  k_case(259, 37, (513, 1, 257), block_n=32, cluster_m=2, num_sms=4),
  k_case(33, 201, (129, 640), cluster_n=2, block_n=64, num_sms=4, with_c=True),
  # One giant group among many small and empty ones; more groups than threads.
  k_case(40, 30, (1, 0, 900, 0, 7, 0, 129), block_n=32, num_sms=3),
  k_case(20, 20, (*(0, 5, 1) * 90, 140), block_n=32, with_c=True),
  # Empty: all of them, and the arrays as well.
  k_case(70, 40, (0, 0, 0), block_n=32),
  k_case(70, 40, (0, 0, 0), block_n=32, with_c=True, spare_blocks=0),
  # Arrays that end with the last group.
  k_case(66, 64, (256, 100), block_n=64, spare_blocks=0),
  # Tiles as large shapes have them.
  k_case(200, 136, (130, 260), num_math_warpgroups=3, block_n=96, with_c=True),
  k_case(270, 136, (140, 260), num_slabs=2, block_n=96, num_early_boxes=2),
  k_case(140, 170, (140, 260), num_slabs=1, block_n=160, num_store_slots=4),
  # In bfloat16: a box less than 64 columns wide, and boxes that overlap.
  k_case(70, 150, (130, 0, 1, 128, 300), block_n=32, float32_out=False),
  k_case(
    259,
    165,
    (513, 0, 257),
    block_n=160,
    cluster_m=2,
    num_sms=4,
    float32_out=False,
  ),
  k_case(
    140,
    170,
    (140, 260),
    num_slabs=1,
    block_n=128,
    num_store_slots=2,
    num_stages=3,
    float32_out=False,
  ),
  # Groups in parts, some of them empty.
  k_case(70, 41, (1000, 0, 100), block_n=32, num_parts=4, float32_out=False),
  k_case(70, 40, (1000, 0, 100), block_n=32, num_parts=4),
  k_case(70, 41, (1000, 0, 100), block_n=32, num_parts=2, with_c=True),
]


@pytest.mark.parametrize("case", CASES, ids=KCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize(
  "claimed",
  [(2**31 - 1, 2**31 - 1, 5), (-(2**31), 400, -1), (10**6, 0, 10**6)],
)
@pytest.mark.parametrize("with_c", [False, True])
def test_wrong_sizes_touch_nothing_outside_the_arrays(
  toolchain, claimed, with_c
):
  case = k_case(70, 40, (130, 0, 1), block_n=32, claimed=claimed, with_c=with_c)
  # Which elements are wrong is open.
  assert_same_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize("mutation", K_GROUPED_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=12)
