"""What the host writes in front of an arena: its header, as bytes.

The layout is that of `SymmetricArena` in cuda/common/symmetric_arena.cuh.
"""

import struct
from collections.abc import Sequence

from jax_deepgemm.heuristics.mega_moe_arena import HEADER_BYTES, MAX_RANKS

MAGIC = 0x4A444741
# magic, rank, num_ranks, abort, timeout_ns, status_board, epoch, grid_barrier,
# 24 reserved bytes, peers.
_LAYOUT = struct.Struct(f"<IIIIQQII24x{MAX_RANKS}Q")
OFFSETS = {
  "magic": 0,
  "rank": 4,
  "num_ranks": 8,
  "abort": 12,
  "timeout_ns": 16,
  "status_board": 24,
  "epoch": 32,
  "grid_barrier": 36,
  "peers": 64,
}


def pack(
  rank: int, peers: Sequence[int], timeout_ns: int, status_board: int
) -> bytes:
  """Returns the header of a rank that has made no call yet.

  Args:
    rank: the rank.
    peers: the arena of each rank as this rank's device addresses it.
    timeout_ns: how long a kernel waits for another rank.
    status_board: where its device writes a status record, or 0.
  """
  unused = [0] * (MAX_RANKS - len(peers))
  words = (MAGIC, rank, len(peers), 0, timeout_ns, status_board, 0, 0)
  return _LAYOUT.pack(*words, *peers, *unused).ljust(HEADER_BYTES, b"\0")
