"""Ranks that exchange rows at once are right under a harsher memory model."""

import numpy as np
import pytest

from tests.emulator.emulator import Emulator
from tests.emulator.mega_moe_case import MegaMoeCase
from tests.emulator.mega_moe_mutations import MEGA_MOE_MUTATIONS
from tests.emulator.mutated import is_found

NUM_SEEDS = 4
_TIMED_OUT, _PEER_ABORTED, _SHAPES_DIFFER = 1, 2, 3
_COUNTS, _ROWS, _RESULTS = 1, 2, 3

CASES = [
  # Calls on one arena, with other counts and other rows.
  MegaMoeCase(4, 2, ((5,), (0,), (6,)), 6),
  MegaMoeCase(6, 3, ((5, 4), (0, 7), (7, 1)), 7, num_ctas=3),
  MegaMoeCase(8, 2, ((5, 0, 6, 2), (1, 6, 6, 0)), 6),
  MegaMoeCase(4, 2, ((9, 3),), 9, hidden=1408, num_ctas=1),
  MegaMoeCase(4, 2, ((6, 5), (6, 6)), 6, mma_type="bf16xbf16"),
  MegaMoeCase(40, 32, ((2, 3),), 3, routing="distinct", num_ctas=4),
  MegaMoeCase(4, 1, ((70, 70),), 70, routing="last"),
  MegaMoeCase(4, 2, ((5, 5),), 5, routing="none"),
  # The number of a call is one of 32 bits.
  MegaMoeCase(4, 2, ((3, 2), (1, 3), (2, 2)), 3, past_calls=2**32 - 2),
  # More CTAs than a warp has lanes.
  MegaMoeCase(4, 1, ((132,),), 132, num_ctas=33),
  # All go to one rank, whose pool they fill to the last row.
  MegaMoeCase(6, 3, ((128, 128),), 128, routing="shared", num_shared=1),
  # Of more tokens than there are rows, and of fewer than none.
  MegaMoeCase(4, 2, ((99, -3),), 5),
]


@pytest.mark.parametrize("case", CASES, ids=MegaMoeCase.id)
def test_every_schedule_gives_the_same_right_result(toolchain, case):
  emulator = Emulator(toolchain, roles=case.roles)
  for seed in range(NUM_SEEDS):
    result = case.run(emulator, seed)
    assert case.wrong_elements(result).size == 0


def _faulty(toolchain, case, seed):
  """Returns results by (call, rank), and records."""
  results, records = case.run_all(Emulator(toolchain, roles=case.roles), seed)
  ranks = len(case.tokens[0])
  by_call = [results[i : i + ranks] for i in range(0, len(results), ranks)]
  return by_call, records


def _assert_nothing(result):
  """No row is in a pool, and all sums are NaN."""
  np.testing.assert_array_equal(result.group_sizes, 0)
  np.testing.assert_array_equal(result.sums, 0xFFFF)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
  ("launches", "phase", "epoch", "seen"),
  [(0, _COUNTS, 1, 0), (1, _RESULTS, 1, 0), (3, _COUNTS, 2, 1)],
)
def test_a_rank_that_never_comes_stops_the_others(
  toolchain, launches, phase, epoch, seen, seed
):
  case = MegaMoeCase(6, 2, ((4, 3, 4), (2, 4, 1)), 4, absent=(1, launches))
  results, records = _faulty(toolchain, case, seed)
  there = records[[0, 2]]
  assert set(there[:, 0]) <= {_TIMED_OUT, _PEER_ABORTED}
  first = there[there[:, 0] == _TIMED_OUT]
  assert len(first)
  expected = [phase, 1, seen, epoch]
  assert all(record[3:7].tolist() == expected for record in first)
  assert all(record[2] == epoch for record in there)
  assert there[:, 1].tolist() == [0, 2]
  for rank in (0, 2):
    np.testing.assert_array_equal(results[epoch - 1][rank].sums, 0xFFFF)
  # Until the host resets the arenas, later calls end at once.
  for ranks in results[epoch:]:
    _assert_nothing(ranks[0])
    _assert_nothing(ranks[2])


def test_who_stopped_first_is_in_the_records_of_others(toolchain):
  case = MegaMoeCase(6, 2, ((4, 3, 4),), 4, absent=(1, 0))
  for seed in range(20):
    _, records = _faulty(toolchain, case, seed)
    codes = records[[0, 2], 0].tolist()
    if _PEER_ABORTED in codes:
      stopped = records[[0, 2]][codes.index(_PEER_ABORTED)]
      assert stopped[4] == 2 - stopped[1]
      return
  pytest.fail("both ranks timed out in every schedule")


@pytest.mark.parametrize("seed", range(3))
def test_a_rank_with_another_shape_stops_all(toolchain, seed):
  case = MegaMoeCase(4, 2, ((4, 3),), 4, stranger=1)
  results, records = _faulty(toolchain, case, seed)
  assert set(records[:, 0]) <= {_SHAPES_DIFFER, _PEER_ABORTED}
  differs = records[records[:, 0] == _SHAPES_DIFFER]
  assert len(differs)
  for record in differs:
    assert record[4] == 1 - record[1]
    assert record[5] != record[6]
  for result in results[0]:
    _assert_nothing(result)


@pytest.mark.parametrize("mutation", MEGA_MOE_MUTATIONS, ids=lambda m: m.name)
def test_a_mutation_is_found(toolchain, tmp_path, mutation):
  assert is_found(mutation, toolchain, tmp_path, num_seeds=8)
