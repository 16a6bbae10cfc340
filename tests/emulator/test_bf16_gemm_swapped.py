"""The BF16 GEMM with swapped operands is right in every schedule."""

import numpy as np
import pytest

from tests.emulator.bf16_gemm_case import Case, case, roles
from tests.emulator.bf16_swapped_cases import BF16_SWAPPED_CASES, swapped
from tests.emulator.emulator import Emulator
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 3


@pytest.mark.parametrize("case", BF16_SWAPPED_CASES, ids=Case.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize("rows", [1, 12])
def test_a_row_without_splits_is_that_of_the_kernel_for_many_rows(
  toolchain, rows
):
  emulator = Emulator(toolchain, roles=roles)
  many = case("nt", 70, 100, 320, block_n=64, float32_out=True)
  expected = many.run(emulator, seed=0)
  a, b, c = many.operands()
  part = slice(17, 17 + rows)
  for stage_k_blocks in (1, 4):
    few = swapped(
      "nt",
      rows,
      100,
      320,
      stage_k_blocks=stage_k_blocks,
      num_splits=1,
      float32_out=True,
    )
    np.testing.assert_array_equal(
      few.run(emulator, 0, (a[:, part], b, c)), expected[:, part]
    )


def test_a_split_sum_is_another_sum(toolchain):
  """What batch_invariant forbids makes a difference."""
  emulator = Emulator(toolchain, roles=roles)
  unsplit, split = (
    swapped("nt", 4, 64, 512, num_splits=n, float32_out=True).run(emulator, 0)
    for n in (1, 4)
  )
  assert np.any(unsplit != split)
