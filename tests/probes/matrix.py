"""Fragments to and from shared memory, with rows at random places."""

import random

import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall
from tests.probes.probe import Probe, recipe

_IMAGE_WORDS = 256

# (loads, matrices, transposed) in the order of MatrixOperation in matrix.cuh.
_OPERATIONS = (
  *((True, count, bit) for count in (1, 2, 4) for bit in (False, True)),
  *((False, count, bit) for count in (2, 4) for bit in (False, True)),
)


def matrix_probe(seed: int) -> Probe:
  """Returns a launch that does each operation twice."""
  rng = random.Random(seed)
  generator = np.random.default_rng(seed)
  operations = np.array(list(range(len(_OPERATIONS))) * 2, np.uint32)
  count = len(operations)
  rows = np.array([rng.sample(range(64), 32) for _ in operations], np.uint32)
  words = (count, _IMAGE_WORDS)
  images = generator.integers(0, 2**32, words, dtype=np.uint32)
  registers = generator.integers(0, 2**32, (count, 32, 4), dtype=np.uint32)
  after, images_after = registers.copy(), images.copy()
  for i, operation in enumerate(operations):
    _do(_OPERATIONS[operation], rows[i], images_after[i], after[i])
  kernel = KernelCall(
    recipe=recipe("matrix"),
    grid=(count, 1, 1),
    cluster=(1, 1, 1),
    threads=32,
    smem_bytes=1024,
    pdl=False,
    params=tuple(Buffer(i) for i in range(6)),
  )
  operands = (operations, rows, images, registers)
  return Probe(kernel, operands, (after, images_after))


def _do(operation, rows, image, registers):
  """Moves matrices between `image` and `registers`, in place."""
  loads, count, transposed = operation
  lines = image.view(np.uint16).reshape(64, 8)
  halves = registers.view(np.uint16).reshape(32, 4, 2)
  for matrix in range(count):
    places = rows[matrix * 8 : matrix * 8 + 8]
    # Lane i has elements 2 (i % 4) and the next of row i / 4.
    if loads:
      values = lines[places]
      values = values.T if transposed else values
      halves[:, matrix] = values.reshape(32, 2)
    else:
      values = halves[:, matrix].reshape(8, 8)
      lines[places] = values.T if transposed else values
