"""The M-grouped FP8 GEMM is right for any sizes of groups, in every layout."""

import numpy as np
import pytest

from jax_deepgemm.primitives.grouped_layout import group_of_rows
from tests.emulator.emulator import Emulator
from tests.emulator.m_grouped_case import GroupedCase, grouped_case
from tests.emulator.schedules import assert_same_right_result
from tests.emulator.wrong_groups import WRONG_GROUPS

NUM_SEEDS = 3

CASES = [
  # Groups that begin and end anywhere, empty ones, and rows of none.
  grouped_case("ragged", (3, 0, 70, 1, 17), 100, 300, m=101, block_n=64),
  grouped_case(
    "ragged",
    (65, 130, 0, 7),
    203,
    256,
    m=202,
    block_n=96,
    num_math_warpgroups=3,
  ),
  grouped_case("ragged", (0, 0), 40, 128, m=50, block_n=32),
  # Two slabs a warpgroup, of which the second may have no row.
  grouped_case(
    "psum",
    (130, 60, 200),
    140,
    256,
    m=520,
    alignment=64,
    num_slabs=2,
    block_n=64,
  ),
  grouped_case(
    "psum", (1, 0, 33), 170, 384, m=110, alignment=32, block_n=160, num_sms=3
  ),
  grouped_case("masked", (0, 64, 5, 70), 100, 512, m=80, block_n=64),
  grouped_case("masked", (9, 3), 72, 256, m=20, block_n=32, zero_padding=False),
  # Group 1 before group 0.
  grouped_case("index", (30, 40), 90, 256, m=128, alignment=64, block_n=64),
  # Clusters that share B, or A; several blocks of K in a stage.
  grouped_case(
    "ragged",
    (150, 70, 10),
    70,
    256,
    m=240,
    block_n=64,
    cluster_m=2,
    num_math_warpgroups=1,
    num_sms=4,
  ),
  grouped_case(
    "ragged",
    (90, 30),
    300,
    512,
    m=121,
    block_n=96,
    cluster_n=2,
    stage_k_blocks=2,
    num_math_warpgroups=2,
    num_slabs=1,
    float32_out=True,
    num_sms=4,
  ),
  # More groups than a warp has lanes.
  grouped_case("ragged", (1, 0, 2) * 15, 40, 128, m=50, block_n=32),
  *WRONG_GROUPS,
]


@pytest.mark.parametrize("case", CASES, ids=GroupedCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  defined = case.defined()
  assert_same_right_result(toolchain, case, NUM_SEEDS, defined)


@pytest.mark.parametrize("case", WRONG_GROUPS, ids=GroupedCase.id)
def test_the_reference_makes_the_same_of_wrong_numbers(case):
  groups = case.groups
  ids = group_of_rows(
    case.numbers(),
    layout=groups.layout,
    alignment=groups.alignment,
    num_groups=len(groups.sizes),
    num_rows=groups.num_rows,
  )
  np.testing.assert_array_equal(ids, groups.ids())


def test_ids_in_any_order_touch_nothing_outside_the_arrays(toolchain):
  ids = np.random.default_rng(0).integers(-3, 6, 140)
  case = grouped_case(
    "index",
    (10, 20, 30),
    72,
    256,
    m=140,
    alignment=64,
    block_n=64,
    claimed=tuple(ids.tolist()),
  )
  emulator = Emulator(toolchain, roles=case.roles)
  # It reports accesses outside; what the rows get is open.
  for seed in range(3):
    case.run(emulator, seed)
