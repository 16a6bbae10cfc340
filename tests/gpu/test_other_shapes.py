"""Shapes that no table was made for are right, too, on a Hopper GPU."""

import concurrent.futures

import jax
import pytest

from benchmarks import cliff_programs
from benchmarks.cliff_cases import pairs
from tests.gpu import shape_checks
from tests.gpu.gemm_data import poison_device_memory

pytestmark = pytest.mark.gpu

_SHAPES = list(dict.fromkeys(pair.shape for pair in pairs()))
_NUM_THREADS = 8


@pytest.fixture(scope="module")
def programs():
  """Returns the programs of each shape, compiled in parallel."""
  found = cliff_programs.compiled(_SHAPES)

  with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as pool:
    sums = pool.map(shape_checks.compiled_sums, _SHAPES)
    return {
      shape: (program, sums_of_shape)
      for (shape, program), sums_of_shape in zip(
        found.items(), sums, strict=True
      )
    }


@pytest.mark.parametrize("shape", _SHAPES, ids=str)
def test_values(shape, programs):
  program, sums = programs[shape]
  operands = jax.block_until_ready(program.make())
  poison_device_memory()
  shape_checks.check(shape, operands, program.run(*operands), sums)
