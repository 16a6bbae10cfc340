"""The FP8 GEMM with FP4 weights is right under a harsher memory model."""

import functools

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.fp4_gemm_case import Fp4Case, fp4_case, roles
from tests.emulator.schedules import assert_same_right_result
from tests.gpu.fp4_data import EXACT, WIDE

NUM_SEEDS = 3

swapped = functools.partial(fp4_case, swapped=True)

CASES = [
  # Several tiles a CTA, a last block of K that is not full, odd sizes.
  fp4_case(70, 203, 300, block_n=64, num_math_warpgroups=1),
  fp4_case(5, 40, 131, block_n=64, num_sms=1, exponents=EXACT),
  fp4_case(1, 9, 32, block_n=96, num_sms=1, num_stages=1),
  fp4_case(70, 170, 416, block_n=128, exponents=EXACT, float32_out=True),
  # Blocks that have no scale in common, some or all of them.
  fp4_case(70, 140, 384, block_n=64, exponents=(110, 128), num_sms=1),
  fp4_case(66, 100, 416, block_n=96, exponents=WIDE, float32_out=True),
  fp4_case(200, 70, 288, block_n=64, num_slabs=2, exponents=WIDE, with_c=True),
  # Clusters that share codes of B, or A; groups; two slabs.
  fp4_case(
    140, 100, 384, block_n=64, cluster_m=2, num_math_warpgroups=1, num_sms=4
  ),
  fp4_case(70, 300, 416, block_n=96, cluster_n=2, exponents=EXACT),
  fp4_case(300, 200, 256, block_n=128, num_slabs=2),
  fp4_case(66, 40, 160, groups=3, block_n=64, with_c=True, float32_out=True),
  # Few rows: odd sizes, several K blocks a stage, splits, both warpgroups.
  swapped(1, 72, 300, stage_k_blocks=1, num_splits=1, exponents=EXACT),
  swapped(15, 130, 512, stage_k_blocks=2, num_splits=2),
  swapped(17, 64, 512, stage_k_blocks=4, num_splits=1, float32_out=True),
  swapped(8, 200, 416, num_splits=1, num_math_warpgroups=2, exponents=EXACT),
  swapped(64, 100, 544, mma_groups=2, num_splits=4, with_c=True),
  swapped(128, 90, 512, stage_k_blocks=1, num_splits=2),
  swapped(
    4,
    70,
    288,
    groups=3,
    stage_k_blocks=2,
    num_splits=2,
    with_c=True,
    float32_out=True,
  ),
  # K ends within a block that is loaded with others, alone and not.
  swapped(7, 70, 1120, num_splits=2, stage_k_blocks=4, exponents=EXACT),
  swapped(3, 9, 33, num_splits=1, num_stages=1, exponents=EXACT),
  # Any exponents, in rounds of a K block and of a part of one.
  swapped(5, 70, 672, num_splits=1, stage_k_blocks=1, exponents=WIDE),
  swapped(
    20,
    64,
    512,
    num_splits=2,
    stage_k_blocks=2,
    exponents=(107, 126),
    float32_out=True,
  ),
]


@pytest.mark.parametrize("case", CASES, ids=Fp4Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


def test_a_group_without_a_scale_makes_its_column_nan_and_no_other(toolchain):
  case = swapped(3, 70, 288, num_splits=2, float32_out=True)
  a, sfa, b, sfb, _ = case.operands()
  exponents = sfb.view(np.uint8).copy()
  exponents[0, 5, 8] = exponents[0, 64, 0] = 255
  b = b.copy()
  b[0, 5] = 0  # Codes say nothing of it.
  arrays = (a, sfa, b, exponents.view("<i4"), None)
  actual = case.run(Emulator(toolchain, roles=roles), 0, arrays)
  is_nan = np.zeros(actual.shape, bool)
  is_nan[..., [5, 64]] = True
  np.testing.assert_array_equal(np.isnan(actual), is_nan)
