"""The FP8 GEMM for few tiles is right under a harsher memory model."""

import functools

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.fp8_gemm_case import Case, case, roles
from tests.emulator.schedules import assert_same_right_result
from tests.emulator.split_cases import SPLIT_CASES, split

NUM_SEEDS = 3


@pytest.mark.parametrize("case", SPLIT_CASES, ids=Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


def test_a_row_without_splits_is_that_of_the_kernel_for_many_rows(toolchain):
  emulator = Emulator(toolchain, roles=roles)
  many = case(100, 40, 640, block_n=64, stage_k_blocks=2, float32_out=True)
  expected = many.run(emulator, seed=0)
  a, sfa, b, sfb, c = many.operands()
  part = slice(17, 17 + 70)
  arrays = (a[:, part], sfa[:, part], b, sfb, c)
  for block_n, stage_k_blocks in ((16, 1), (32, 4)):
    few = split(
      70,
      40,
      640,
      block_n=block_n,
      stage_k_blocks=stage_k_blocks,
      num_splits=1,
      float32_out=True,
    )
    np.testing.assert_array_equal(
      few.run(emulator, 0, arrays), expected[:, part]
    )


def test_a_split_sum_is_another_sum(toolchain):
  """What batch_invariant forbids makes a difference."""
  emulator = Emulator(toolchain, roles=roles)
  case = functools.partial(
    split, 40, 16, 1024, block_n=16, stage_k_blocks=1, float32_out=True
  )
  unsplit, split_sum = (
    case(num_splits=n).run(emulator, seed=0) for n in (1, 4)
  )
  assert np.any(unsplit != split_sum)
