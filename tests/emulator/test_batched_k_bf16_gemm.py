"""The BF16 GEMM over a K of many runs, under a harsher memory model."""

import pytest

from tests.emulator.batched_k_case import BatchedKCase, runs_case
from tests.emulator.batched_k_mutations import BATCHED_K_MUTATIONS
from tests.emulator.mutated import is_found
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 3

CASES = [
  # Parts that differ in length and end within runs; edges that do not divide.
  runs_case(5, 70, 40, 128, 4, block_n=48, num_math_warpgroups=1),
  # Runs that end within a block, and rows that are padded.
  runs_case(7, 70, 101, 75, 3, block_n=64, float32_out=True),
  # Several blocks a stage; a cluster that shares A, and one that shares B.
  runs_case(4, 70, 140, 256, 3, block_n=64, cluster_n=2, stage_k_blocks=2),
  runs_case(3, 260, 40, 64, 2, block_n=48, cluster_m=2, num_sms=4),
  # One part: D is rounded, and C added, by the kernel.
  runs_case(6, 20, 72, 64, 1, block_n=32, with_c=True),
  # C is added to the sum of parts.
  runs_case(6, 20, 72, 64, 2, block_n=32, with_c=True, num_sms=1),
]


@pytest.mark.parametrize("case", CASES, ids=BatchedKCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize("mutation", BATCHED_K_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=3)
