"""The emulator can fail: each of a list of mistakes is found."""

import shutil

import pytest

from tests.emulator.emulator import Emulator, EmulatorError
from tests.emulator.fp8_gemm_case import Case, roles, run, wrong_elements
from tests.emulator.launch_mutations import LAUNCH_MUTATIONS
from tests.emulator.mutations import MUTATIONS, Mutation
from tests.emulator.toolchain import CUDA

NUM_SEEDS = 12
CASES = sorted({mutation.case for mutation in MUTATIONS}, key=Case.id)


def verdict(case: Case, emulator: Emulator, seed: int) -> str | None:
  """Returns what is wrong with a run, or None."""
  try:
    wrong = wrong_elements(case, run(case, emulator, seed))
  except EmulatorError as error:
    return str(error)
  return f"{len(wrong)} elements are wrong" if len(wrong) else None


def mutated(mutation: Mutation, folder):
  """Returns a copy of the headers with one change."""
  shutil.copytree(CUDA, folder)
  path = folder / mutation.path
  text = path.read_text()
  assert text.count(mutation.old) == 1
  path.write_text(text.replace(mutation.old, mutation.new))
  return folder


@pytest.mark.parametrize("case", CASES, ids=Case.id)
def test_without_a_mutation_nothing_is_found(toolchain, case):
  emulator = Emulator(toolchain, roles=roles)
  assert [verdict(case, emulator, s) for s in range(NUM_SEEDS)] == (
    [None] * NUM_SEEDS
  )


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  emulator = Emulator(toolchain, mutated(mutation, tmp_path / "cuda"), roles)
  found = (verdict(mutation.case, emulator, s) for s in range(NUM_SEEDS))
  assert any(found)


class MutatedLaunches(Emulator):
  """Changes each launch before it runs."""

  def __init__(self, toolchain, change):
    super().__init__(toolchain, roles=roles)
    self.change = change

  def run(self, kernel, buffers, seed):
    super().run(self.change(kernel), buffers, seed)


@pytest.mark.parametrize("name", LAUNCH_MUTATIONS)
def test_a_mutation_of_the_launch_is_found(toolchain, name):
  case = MUTATIONS[0].case
  emulator = MutatedLaunches(toolchain, LAUNCH_MUTATIONS[name])
  assert any(verdict(case, emulator, seed) for seed in range(NUM_SEEDS))
