"""The selection of largest values is right under a harsher memory model."""

import pytest

from tests.emulator.mutated import is_found
from tests.emulator.row_topk_case import RowTopkCase
from tests.emulator.row_topk_mutations import ROW_TOPK_MUTATIONS
from tests.emulator.schedules import assert_same_right_result

NUM_SEEDS = 2
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1

CASES = [
  # Several selections; ranges that begin and end anywhere, or are empty.
  RowTopkCase(
    "normal", 4, 1501, 100, ((3, 1400), (9, 9), (700, 5), (1, 90)), 1500
  ),
  # Each step brings larger values, or none does.
  RowTopkCase("rising", 1, 1600, 70, ((0, 1600),), 1600),
  RowTopkCase("falling", 1, 1600, 129, ((0, 1600),), 1600, num_vectors=1),
  # Lower keys first.
  RowTopkCase("tied", 2, 1203, 90, ((5, 1300), (0, 64)), 1300),
  RowTopkCase("equal", 1, 1300, 33, ((0, 1300),), 1300),
  RowTopkCase("close", 2, 1300, 1, ((0, 1300),), 1300),
  RowTopkCase(
    "special", 3, 1102, 200, ((_LOWEST, _HIGHEST), (1050, _HIGHEST)), 1102
  ),
  # More than there is room for twice.
  RowTopkCase("normal", 1, 700, 330, ((0, 700),), 700, capacity=640),
  # Rows that are cut, with fewer keys than are wanted, or than parts.
  RowTopkCase(
    "special", 3, 1205, 60, ((0, 1205), (7, 40), (1, 3)), 1205, parts=4
  ),
]


@pytest.mark.parametrize("case", CASES, ids=RowTopkCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  assert_same_right_result(toolchain, case, NUM_SEEDS)


@pytest.mark.parametrize("mutation", ROW_TOPK_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=8)
