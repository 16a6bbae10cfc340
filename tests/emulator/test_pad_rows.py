"""Rows are padded right under a harsher memory model."""

from unittest import mock

import jax.numpy as jnp
import numpy as np
import pytest

from jax_deepgemm.options import Options
from jax_deepgemm.primitives import launch, padding
from tests.emulator.emulator import Emulator
from tests.emulator.mutated import is_found
from tests.emulator.pad_rows_case import PadRowsCase
from tests.emulator.pad_rows_mutations import PAD_ROWS_MUTATIONS

NUM_SEEDS = 2

CASES = [
  # Rows that begin at any byte, and a source that ends within a vector.
  PadRowsCase(((7, 149, 160),)),
  PadRowsCase(((33, 75, 80),), pieces_per_thread=4),
  # Less than a piece, with a piece of zeros behind; one row.
  PadRowsCase(((5, 3, 32),)),
  PadRowsCase(((1, 17, 32),)),
  PadRowsCase(((1, 1, 16),)),
  # Rows of whole vectors, longer than a block.
  PadRowsCase(((5, 1008, 1024),), pieces_per_thread=1),
  # Two arrays of several blocks each.
  PadRowsCase(((9, 251, 256), (30, 85, 96)), pieces_per_thread=1),
]


@pytest.mark.parametrize("case", CASES, ids=PadRowsCase.id)
def test_every_byte_is_where_it_belongs(toolchain, case):
  emulator = Emulator(toolchain, roles=case.roles)
  for seed in range(NUM_SEEDS):
    result = case.run(emulator, seed)
    assert case.wrong_elements(result).size == 0


@pytest.mark.parametrize(
  "shapes",
  [((3, 5, 70), (2, 9, 70)), ((4, 64), (3, 40)), ((3, 40), (4, 64))],
  ids=str,
)
def test_operands_are_those_that_xla_pads(toolchain, shapes):
  random = np.random.default_rng(5)
  a, b = (
    jnp.asarray(random.integers(1, 255, shape, np.uint8)).view(
      jnp.float8_e4m3fn
    )
    for shape in shapes
  )
  launcher = Emulator(toolchain).launcher(0)
  with (
    mock.patch.object(padding, "is_worth_a_launch", bool),
    mock.patch.object(launch, "call", launcher),
    mock.patch.object(padding, "pad_last", None),
  ):
    padded = padding.pad_bytes(a, b, 32, Options())
  for x, wanted in zip(padded, (a, b), strict=True):
    wanted = padding.pad_last(wanted, 32)
    assert x.dtype == wanted.dtype
    np.testing.assert_array_equal(x.view(jnp.uint8), wanted.view(jnp.uint8))


@pytest.mark.parametrize("mutation", PAD_ROWS_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=2)
