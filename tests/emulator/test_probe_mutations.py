"""The emulator finds each of a list of mistakes in probes."""

import dataclasses

import pytest

from tests.emulator.emulator import Emulator, EmulatorError
from tests.emulator.probe_mutations import PROBE_MUTATIONS, ProbeMutation
from tests.probes.catalogue import PROBES
from tests.probes.probe import Probe

NUM_SEEDS = 200


def mutated(mutation: ProbeMutation, seed: int) -> Probe:
  """Returns the probe with the mistake in its source."""
  probe = PROBES[mutation.probe](seed)
  recipe = probe.kernel.recipe
  assert mutation.old in recipe.source
  source = recipe.source.replace(mutation.old, mutation.new)
  recipe = dataclasses.replace(recipe, source=source)
  kernel = dataclasses.replace(probe.kernel, recipe=recipe)
  return dataclasses.replace(probe, kernel=kernel)


def is_found(probe: Probe, emulator: Emulator, seed: int) -> bool:
  try:
    probe.check(probe.run(emulator.launcher(seed), *probe.operands))
  except (EmulatorError, AssertionError):
    return True
  return False


@pytest.mark.parametrize("mutation", PROBE_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_of_a_probe_is_found(toolchain, mutation):
  emulator = Emulator(toolchain)
  assert any(
    is_found(mutated(mutation, seed), emulator, seed)
    for seed in range(NUM_SEEDS)
  )
