"""Which rows a kernel copies, and in how many blocks."""

import pytest

from jax_deepgemm.heuristics.sm90_copy_rows import (
  CopiedRows,
  choose,
  is_copyable,
  is_worth_a_launch,
)


def test_rows_are_padded_or_cut():
  padded, cut = CopiedRows(3, 149, 160), CopiedRows(3, 160, 149)
  assert (padded.cut, cut.cut) == (False, True)
  assert padded.row_bytes == cut.row_bytes == 149


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    (CopiedRows(4096, 7152, 7168), True),
    (CopiedRows(4096, 14352, 14338), True),
    # No pieces of the target, or vectors of the source, are whole.
    (CopiedRows(4096, 7151, 7160), False),
    (CopiedRows(4096, 7160, 7151), False),
    # A piece would have bytes of three rows.
    (CopiedRows(4096, 16, 16 - 2), False),
    # Sizes that do not fit the kernel's integers.
    (CopiedRows(1, 2**31 - 1, 2**31), False),
    (CopiedRows(2**31, 15, 16), False),
    (CopiedRows(2**31 - 1, 2**16 - 1, 2**16), False),
  ],
  ids=str,
)
def test_what_the_kernel_can_copy(rows, expected):
  assert is_copyable(rows) == expected


def test_small_arrays_are_for_xla_unless_they_add_up():
  small = CopiedRows(800, 1000, 1024)
  assert not is_worth_a_launch([small])
  assert is_worth_a_launch([small, small])
  assert not is_worth_a_launch([CopiedRows(0, 1000, 1024)])


@pytest.mark.parametrize(
  ("arrays", "pieces", "blocks"),
  [
    # 4096 x 4096 x 7152, and what is cut from 4096 x 7169 in BF16.
    ([CopiedRows(4096, 7152, 7168)] * 2, 4, [1792] * 2),
    ([CopiedRows(4096, 14352, 14338)], 4, [3585]),
    # 1000 x 1000 x 1000: fewer CTAs than multiprocessors with 4.
    ([CopiedRows(1000, 1000, 1024)] * 2, 2, [125] * 2),
    ([CopiedRows(1, 17, 32)], 1, [1]),
  ],
)
def test_blocks_fill_the_gpu(arrays, pieces, blocks):
  config = choose(arrays)
  assert config.pieces_per_thread == pieces
  assert [config.num_blocks(rows) for rows in arrays] == blocks
