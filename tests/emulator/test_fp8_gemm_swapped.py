"""The FP8 GEMM with swapped operands is right under a harsher memory model."""

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.fp8_gemm_case import (
  Case,
  case,
  operands,
  roles,
  run,
  wrong_elements,
)
from tests.emulator.swapped_cases import SWAPPED_CASES, swapped

NUM_SEEDS = 3


@pytest.mark.parametrize("case", SWAPPED_CASES, ids=Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  emulator = Emulator(toolchain, roles=roles)
  first = run(case, emulator, seed=0)
  assert wrong_elements(case, first).size == 0
  for seed in range(1, NUM_SEEDS):
    # To the bit: splits are added in one order whichever is first.
    np.testing.assert_array_equal(run(case, emulator, seed), first)


@pytest.mark.parametrize("rows", [1, 12])
def test_a_row_without_splits_is_that_of_the_kernel_for_many_rows(
  toolchain, rows
):
  emulator = Emulator(toolchain, roles=roles)
  many = case(70, 100, 640, block_n=64, stage_k_blocks=2, float32_out=True)
  expected = run(many, emulator, seed=0)
  a, sfa, b, sfb, c = operands(many.problem)
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
      run(few, emulator, 0, arrays), expected[:, part]
    )


def test_a_split_sum_is_another_sum(toolchain):
  """What batch_invariant forbids makes a difference."""
  emulator = Emulator(toolchain, roles=roles)
  unsplit, split = (
    run(
      swapped(4, 64, 1024, stage_k_blocks=1, num_splits=n, float32_out=True),
      emulator,
      seed=0,
    )
    for n in (1, 4)
  )
  assert np.any(unsplit != split)
