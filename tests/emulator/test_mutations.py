"""The emulator can fail: each of a list of mistakes is found."""

import pytest

from tests.emulator.bf16_mutations import BF16_MUTATIONS
from tests.emulator.bf16_swapped_mutations import BF16_SWAPPED_MUTATIONS
from tests.emulator.emulator import Emulator
from tests.emulator.fp4_mutations import FP4_MUTATIONS
from tests.emulator.hc_prenorm_mutations import HC_PRENORM_MUTATIONS
from tests.emulator.launch_mutations import LAUNCH_MUTATIONS
from tests.emulator.m_grouped_bf16_mutations import M_GROUPED_BF16_MUTATIONS
from tests.emulator.m_grouped_fp4_mutations import M_GROUPED_FP4_MUTATIONS
from tests.emulator.m_grouped_mutations import M_GROUPED_MUTATIONS
from tests.emulator.mutated import MutatedLaunches, fails, verdict
from tests.emulator.mutations import MUTATIONS, SPLIT
from tests.emulator.split_mutations import SPLIT_MUTATIONS
from tests.emulator.swapped_mutations import SWAPPED_MUTATIONS

NUM_SEEDS = 12
ALL = (
  *MUTATIONS,
  *SWAPPED_MUTATIONS,
  *SPLIT_MUTATIONS,
  *BF16_MUTATIONS,
  *BF16_SWAPPED_MUTATIONS,
  *M_GROUPED_MUTATIONS,
  *M_GROUPED_BF16_MUTATIONS,
  *FP4_MUTATIONS,
  *M_GROUPED_FP4_MUTATIONS,
  *HC_PRENORM_MUTATIONS,
)
CASES = sorted({mutation.case for mutation in ALL}, key=lambda case: case.id())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id())
def test_without_a_mutation_nothing_is_found(toolchain, case):
  emulator = Emulator(toolchain, roles=case.roles)
  assert [verdict(case, emulator, s) for s in range(NUM_SEEDS)] == (
    [None] * NUM_SEEDS
  )


@pytest.mark.parametrize("mutation", ALL, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  # Without, see above.
  assert fails(mutation, toolchain, tmp_path, NUM_SEEDS)


@pytest.mark.parametrize("name", LAUNCH_MUTATIONS)
def test_a_mutation_of_the_launch_is_found(toolchain, name):
  case = SPLIT
  emulator = MutatedLaunches(toolchain, LAUNCH_MUTATIONS[name])
  assert any(verdict(case, emulator, seed) for seed in range(NUM_SEEDS))
