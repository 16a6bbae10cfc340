"""The FP8 GEMM with swapped operands is right under a harsher memory model."""

import functools

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.fp8_gemm_case import Case, case, roles
from tests.emulator.schedules import assert_same_right_result
from tests.emulator.swapped_cases import SWAPPED_CASES, swapped

NUM_SEEDS = 3


@pytest.mark.parametrize("case", SWAPPED_CASES, ids=Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize("rows", [1, 12])
def test_a_row_without_splits_is_that_of_the_kernel_for_many_rows(
  toolchain, rows
):
  emulator = Emulator(toolchain, roles=roles)
  many = case(70, 100, 640, block_n=64, stage_k_blocks=2, float32_out=True)
  expected = many.run(emulator, seed=0)
  a, sfa, b, sfb, c = many.operands()
  first = 17
  for stage_k_blocks in (1, 4):
    few = swapped(
      rows,
      100,
      640,
      stage_k_blocks=stage_k_blocks,
      num_splits=1,
      float32_out=True,
    )
    part = slice(first, first + rows)
    arrays = (a[:, part], sfa[:, part], b, sfb, c)
    np.testing.assert_array_equal(
      few.run(emulator, 0, arrays), expected[:, part]
    )


def test_a_split_sum_is_another_sum(toolchain):
  """What batch_invariant forbids makes a difference."""
  emulator = Emulator(toolchain, roles=roles)
  case = functools.partial(
    swapped, 4, 64, 1024, stage_k_blocks=1, float32_out=True
  )
  unsplit, split = (case(num_splits=n).run(emulator, seed=0) for n in (1, 4))
  assert np.any(unsplit != split)
