"""Copies of rows to another pitch, whatever runs first."""

import pytest

from tests.emulator.copy_rows_case import CopyRowsCase
from tests.emulator.copy_rows_mutations import COPY_ROWS_MUTATIONS
from tests.emulator.emulator import Emulator
from tests.emulator.mutated import is_found

NUM_SEEDS = 2

CASES = [
  # With zeros behind: rows that begin at any byte, less than a piece of them, a
  # source that ends within a vector.
  CopyRowsCase(1, ((7, 149, 160),)),
  CopyRowsCase(1, ((5, 3, 32),)),
  CopyRowsCase(1, ((1, 17, 32),)),
  CopyRowsCase(2, ((6, 75, 80),)),
  CopyRowsCase(4, ((5, 130, 132),), pieces_per_thread=4),
  # Rows of whole vectors, to where pieces of 32 bytes begin.
  CopyRowsCase(1, ((5, 1008, 1024),)),
  # Two arrays of several blocks each.
  CopyRowsCase(1, ((9, 251, 256), (30, 85, 96)), pieces_per_thread=1),
  # Cut: pieces of two rows, rows of a piece, targets of no whole pieces.
  CopyRowsCase(2, ((7, 136, 129),)),
  CopyRowsCase(2, ((9, 16, 9),), pieces_per_thread=4),
  CopyRowsCase(4, ((5, 132, 131),)),
  CopyRowsCase(1, ((1, 48, 33),)),
  CopyRowsCase(4, ((3, 64, 4),)),
]


@pytest.mark.parametrize("case", CASES, ids=CopyRowsCase.id)
def test_every_byte_is_where_it_belongs(toolchain, case):
  emulator = Emulator(toolchain, roles=case.roles)
  for seed in range(NUM_SEEDS):
    result = case.run(emulator, seed)
    assert case.wrong_elements(result).size == 0


@pytest.mark.parametrize("mutation", COPY_ROWS_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=2)
