"""Hundreds of random layers of experts, and a thousand calls in one program."""

import jax
import numpy as np
import pytest

from tests.gpu import two_processes
from tests.gpu.gemm_data import poison_device_memory
from tests.gpu.test_mega_moe import ranks_here
from tests.mega_moe import many_checks, many_layers
from tests.mega_moe.layers import BF16, FP4
from tests.mega_moe.many_layers import ManyLayer

pytestmark = pytest.mark.gpu

# Each layer is compiled, a call of it is not: 200 in all.
_LAYERS, _CALLS = 10, 20
_LOOP_CALLS = 1000
LOOPS = [
  ManyLayer(96, 4, 2, 512, 256, num_shared=1),
  ManyLayer(40, 8, 6, 1024, 256, room=7, clamp=0.5, mma_type=FP4),
  ManyLayer(64, 4, 3, 512, 256, room=3, num_shared=1, mma_type=BF16),
]


def _mesh():
  return many_checks.mesh_of(jax.devices("gpu")[: ranks_here()])


@pytest.mark.parametrize("index", range(_LAYERS))
def test_random_calls_have_the_bits_of_the_steps(index):
  mesh = _mesh()
  layers = many_layers.random_layers(
    _LAYERS, many_layers.LARGE, mesh.size, seed=0
  )
  poison_device_memory(1)
  seeds = range(_CALLS * index, _CALLS * (index + 1))
  many_checks.check_beside_steps(layers[index], mesh, seeds, "kernel")


@pytest.mark.parametrize("layer", LOOPS, ids=ManyLayer.id)
def test_a_thousand_calls_in_one_program_have_the_bits_of_the_steps(layer):
  mesh = _mesh()
  counts = np.random.default_rng(0).integers(
    0, layer.tokens + 1, (_LOOP_CALLS, mesh.size)
  )
  wrong = many_checks.errors_of_a_loop(
    layer, mesh, counts.astype(np.int32), "kernel"
  )
  np.testing.assert_array_equal(wrong, 0)


def test_random_calls_of_two_processes_have_the_bits_of_one_rank():
  # On one GPU their kernels wait for each other across its time slices.
  two_processes.run("tests.gpu.mega_moe_many_process")
