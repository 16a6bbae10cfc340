"""Configurations of the Hopper kernel that pads rows of bytes."""

import dataclasses
from collections.abc import Sequence

PIECE_BYTES = 16  # kPieceBytes in the kernel.

_NUM_THREADS = 256
_PIECES_PER_THREAD = (4, 2, 1)
# At least as many CTAs as a Hopper GPU has multiprocessors.
_ENOUGH_BLOCKS = 132
# XLA copies single bytes at 0.37 of the memory's rate, as measured for 58.6 MB:
# to read and write 1 MB takes 1.3 us on an H200 where it could take 0.5. Below,
# the copy shall stay one that XLA may join with what is before it, which saves
# a launch, some 2 us (predicted). Elements of two bytes it copies at 0.7 of the
# rate: too little is to be won to part them from what is before or after.
_LEAST_BYTES = 2**20
_MOST_PIECES = 2**31


@dataclasses.dataclass(frozen=True)
class PaddedRows:
  """Rows that lie one after the other, and are to have zeros behind them.

  Attributes:
    num_rows: how many.
    row_bytes: bytes of each.
    pitch: bytes from one to the next, with the zeros.
  """

  num_rows: int
  row_bytes: int
  pitch: int


@dataclasses.dataclass(frozen=True)
class Sm90PadRowsConfig:
  """Mirrors the struct in cuda/kernels/sm90_pad_rows.cuh."""

  num_threads: int
  pieces_per_thread: int

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory."""
    return 0

  def num_blocks(self, rows: PaddedRows) -> int:
    """Returns how many CTAs pad these rows."""
    return -(-_num_pieces(rows) // (self.num_threads * self.pieces_per_thread))


def can_be_padded(rows: PaddedRows) -> bool:
  """Returns whether the kernel can pad these rows.

  Its numbers of pieces have 32 bits.
  """
  return rows.pitch % PIECE_BYTES == 0 and _num_pieces(rows) < _MOST_PIECES


def is_worth_a_launch(arrays: Sequence[PaddedRows]) -> bool:
  """Returns whether to pad these with the kernel, rather than with XLA."""
  return sum(rows.num_rows * rows.row_bytes for rows in arrays) >= _LEAST_BYTES


def choose(arrays: Sequence[PaddedRows]) -> Sm90PadRowsConfig:
  """Returns the configuration that pads these in one launch."""
  for pieces in _PIECES_PER_THREAD:
    config = Sm90PadRowsConfig(_NUM_THREADS, pieces)
    if sum(map(config.num_blocks, arrays)) >= _ENOUGH_BLOCKS:
      break
  return config


def _num_pieces(rows: PaddedRows) -> int:
  return rows.num_rows * (rows.pitch // PIECE_BYTES)
