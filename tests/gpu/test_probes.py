"""A Hopper GPU answers the probes as NumPy and the emulator do."""

import concurrent.futures
import functools
import shutil
import sys

import jax
import numpy as np
import pytest

from jax_deepgemm.primitives import kernel_library, launch
from tests.emulator.emulator import Emulator
from tests.emulator.toolchain import Toolchain
from tests.probes.catalogue import PROBES, recipes

pytestmark = pytest.mark.gpu

NUM_SEEDS = 4


@pytest.fixture(scope="module", autouse=True)
def _compiled_ahead():
  for recipe in recipes():
    kernel_library.library().prefetch(recipe)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
  if sys.platform != "linux" or shutil.which("g++") is None:
    pytest.skip("the emulator needs Linux and g++")
  toolchain = Toolchain(tmp_path_factory.mktemp("emulator"))
  with concurrent.futures.ThreadPoolExecutor() as pool:
    list(pool.map(lambda recipe: toolchain.library([recipe]), recipes()))
  return Emulator(toolchain)


def answers(probe):
  """Returns what the GPU makes of a probe."""
  results = jax.jit(functools.partial(probe.run, launch.call))(*probe.operands)
  return [np.asarray(result) for result in results]


@pytest.mark.parametrize("name", PROBES)
def test_the_gpu_answers_a_probe_as_numpy_does(name):
  for seed in range(NUM_SEEDS):
    probe = PROBES[name](seed)
    probe.check(answers(probe))


@pytest.mark.parametrize("name", PROBES)
def test_the_gpu_answers_a_probe_as_the_emulator_does(emulator, name):
  probe = PROBES[name](NUM_SEEDS)
  emulated = probe.run(emulator.launcher(0), *probe.operands)
  for ours, theirs in zip(answers(probe), emulated, strict=True):
    if probe.tolerance is None:
      np.testing.assert_array_equal(ours, np.asarray(theirs))
    else:
      # Each may be off in its own direction.
      error = np.abs(ours - np.asarray(theirs))
      assert np.all(error <= 2 * probe.tolerance)
