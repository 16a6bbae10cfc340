"""Which rows a kernel pads, and in how many blocks."""

import pytest

from jax_deepgemm.heuristics.sm90_pad_rows import (
  PaddedRows,
  can_be_padded,
  choose,
  is_worth_a_launch,
)


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    (PaddedRows(4096, 7152, 7168), True),
    (PaddedRows(4096, 7151, 7160), False),  # No whole pieces.
    (PaddedRows(2**31 - 1, 15, 16), True),
    (PaddedRows(2**31, 15, 16), False),
    (PaddedRows(2**21, 2**14 - 1, 2**14), False),
  ],
  ids=str,
)
def test_what_the_kernel_can_pad(rows, expected):
  assert can_be_padded(rows) == expected


def test_small_arrays_are_for_xla_unless_they_add_up():
  small = PaddedRows(800, 1000, 1024)
  assert not is_worth_a_launch([small])
  assert is_worth_a_launch([small, small])
  assert not is_worth_a_launch([])


@pytest.mark.parametrize(
  ("arrays", "pieces", "blocks"),
  [
    # 4096 x 4096 x 7152.
    ([PaddedRows(4096, 7152, 7168)] * 2, 4, [1792] * 2),
    # 1000 x 1000 x 1000: fewer CTAs than multiprocessors with 4.
    ([PaddedRows(1000, 1000, 1024)] * 2, 2, [125] * 2),
    ([PaddedRows(1, 17, 32)], 1, [1]),
  ],
)
def test_blocks_fill_the_gpu(arrays, pieces, blocks):
  config = choose(arrays)
  assert config.pieces_per_thread == pieces
  assert [config.num_blocks(rows) for rows in arrays] == blocks
