"""The emulated ptx/ wrappers do what NumPy says, whatever runs first."""

import pytest

from tests.emulator.emulator import Emulator
from tests.probes.catalogue import PROBES

NUM_SEEDS = 6


@pytest.mark.parametrize("name", PROBES)
def test_the_emulator_answers_a_probe_as_numpy_does(toolchain, name):
  emulator = Emulator(toolchain)
  for seed in range(NUM_SEEDS):
    probe = PROBES[name](seed)
    probe.check(probe.run(emulator.launcher(seed), *probe.operands))
