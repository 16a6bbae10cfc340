"""Configurations of the Hopper kernel that copies rows to another pitch."""

import dataclasses

_NUM_THREADS = 256
_PIECE_BYTES = 16
_PIECES_PER_THREAD = (4, 2, 1)
# At least as many CTAs as a Hopper GPU has multiprocessors.
_ENOUGH_BLOCKS = 132
# XLA copies rows of odd pitch at a third of the memory's rate: to read and
# write 1 MB takes 1.5 us on an H200 where it could take 0.5 (predicted). Below,
# the copy shall stay one that XLA may join with what is before or after it,
# which saves a launch, some 2 us.
_LEAST_BYTES = 2**20
_MOST_BLOCKS = 2**31 - 1
_MOST_PITCH = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class CopiedRows:
  """Rows that are copied.

  Attributes:
    num_rows: how many.
    source_pitch: bytes from one to the next.
    target_pitch: the same of the copy. If it is larger, zeros follow each row;
      if it is smaller, rows are cut.
  """

  num_rows: int
  source_pitch: int
  target_pitch: int

  @property
  def cut(self) -> bool:
    """Whether the copy has shorter rows."""
    return self.target_pitch < self.source_pitch

  @property
  def row_bytes(self) -> int:
    """What is copied of a row."""
    return min(self.source_pitch, self.target_pitch)


@dataclasses.dataclass(frozen=True)
class Sm90CopyRowsConfig:
  """Mirrors the struct in cuda/kernels/sm90_copy_rows.cuh."""

  num_threads: int
  pieces_per_thread: int
  cut: bool

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory."""
    return 0

  def num_blocks(self, rows: CopiedRows) -> int:
    """Returns how many CTAs copy these rows."""
    block_bytes = self.num_threads * self.pieces_per_thread * _PIECE_BYTES
    return -(-rows.num_rows * rows.target_pitch // block_bytes)


def is_copyable(rows: CopiedRows) -> bool:
  """Returns whether the kernel can copy these rows."""
  wide, narrow = rows.source_pitch, rows.target_pitch
  if not rows.cut:
    wide, narrow = narrow, wide
  return (
    wide % _PIECE_BYTES == 0
    and (not rows.cut or narrow >= _PIECE_BYTES)
    and wide <= _MOST_PITCH
    and rows.num_rows <= _MOST_PITCH
    and _config(1, rows.cut).num_blocks(rows) <= _MOST_BLOCKS // 2
  )


def is_worth_a_launch(arrays: list[CopiedRows]) -> bool:
  """Returns whether to copy these with the kernel, rather than with XLA."""
  num_bytes = sum(rows.num_rows * rows.row_bytes for rows in arrays)
  return num_bytes >= _LEAST_BYTES


def choose(arrays: list[CopiedRows]) -> Sm90CopyRowsConfig:
  """Returns the configuration that copies these in one launch."""
  for pieces in _PIECES_PER_THREAD:
    config = _config(pieces, arrays[0].cut)
    if sum(map(config.num_blocks, arrays)) >= _ENOUGH_BLOCKS:
      return config
  return config


def _config(pieces: int, cut: bool) -> Sm90CopyRowsConfig:
  return Sm90CopyRowsConfig(_NUM_THREADS, pieces, cut)
