"""Groups of rows whose numbers lie, and what the kernel must make of them.

What each number counts as is said by `group_of_rows`.
"""

import itertools

from tests.emulator.m_grouped_case import grouped_case
from tests.gpu.m_grouped_data import RowGroups

_LARGEST, _SMALLEST = 2**31 - 1, -(2**31)

# Ends that fall, and ends outside of the rows.
PSUM_ENDS = grouped_case(
  "psum",
  (40, 0, 26, 24, 0),
  72,
  256,
  m=120,
  alignment=32,
  claimed=(40, 20, 90, _LARGEST, _SMALLEST),
  block_n=64,
)
# As these, but from one 32 groups to the next.
MANY_PSUM_ENDS = grouped_case(
  "psum",
  (20, *(0,) * 35, 10),
  40,
  128,
  m=60,
  alignment=16,
  claimed=(20, *(-5, 7, 19, 20, 0) * 7, 42),
  block_n=32,
)
RAGGED_SIZES = grouped_case(
  "ragged",
  (30, 0, 71, 0, 0),
  72,
  256,
  m=101,
  claimed=(30, _SMALLEST, _LARGEST, _LARGEST, 5),
  block_n=64,
)
MASKED_SIZES = grouped_case(
  "masked",
  (40, 0, 40),
  72,
  256,
  m=40,
  claimed=(_LARGEST, -3, 41),
  block_n=64,
)


def _ids() -> tuple[int, ...]:
  """Returns ids of which those of no group are all kinds of numbers."""
  none = itertools.cycle((2, -1, 7, _SMALLEST, _LARGEST))
  ids = RowGroups("index", (30, 40), 140, 64).ids().tolist()
  return tuple(next(none) if i < 0 else i for i in ids)


INDEX_IDS = grouped_case(
  "index",
  (30, 40),
  72,
  256,
  m=140,
  alignment=64,
  claimed=_ids(),
  block_n=64,
)
WRONG_GROUPS = [
  PSUM_ENDS,
  MANY_PSUM_ENDS,
  RAGGED_SIZES,
  MASKED_SIZES,
  INDEX_IDS,
]
