"""Rows are padded right under a harsher memory model."""

import pytest

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


@pytest.mark.parametrize("mutation", PAD_ROWS_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=2)
