"""Where what lies in the memory that ranks of a mixture of experts share.

Every rank has one arena, of one size and layout, and reaches those of all
others. Parts begin at multiples of 1024 bytes:

  header        what the host says; cuda/common/symmetric_arena.cuh
  counts        int32 [num_ranks, counts_pitch]: rows for each expert, from each
                rank; behind them, in column num_experts, a hash of the call's
                shape
  flags         uint32 [3, 64]: the last call whose phase a rank has finished
  pool_x        rows that came, [capacity, hidden]: bytes, or bfloat16
  pool_sf       their scales, float32 [capacity, hidden / 128]
  pool_weights  and weights, float32 [capacity]
  pool_sources  and where they are from, uint32 [capacity]: rank * num_slots
                + token * top_k + choice
  results       of this rank's tokens, bfloat16 [num_slots, hidden], which the
                ranks of their experts write
"""

import dataclasses
import itertools

HEADER_BYTES = 4096
MAX_RANKS = 64  # Addresses in the header.
MMA_TYPES = ("fp8xfp8", "fp8xfp4", "bf16xbf16")
PARTS = (
  "header",
  "counts",
  "flags",
  "pool_x",
  "pool_sf",
  "pool_weights",
  "pool_sources",
  "results",
)
_NUM_PHASES = 3
_PART_ALIGNMENT = 1024
_ROW_ALIGNMENT = 128  # The largest tile of a grouped product.
_VECTOR_WORDS = 4  # Of 4 bytes: counts are read 16 bytes at a time.


@dataclasses.dataclass(frozen=True)
class MegaMoeArena:
  """The layout of an arena.

  Attributes:
    num_ranks: ranks that share out the experts.
    num_experts: experts of all ranks, shared ones included.
    max_tokens: tokens that a rank has at most.
    top_k: experts that a token chooses, shared ones included.
    hidden: elements of a token.
    intermediate: elements between the two layers; not in the arena.
    mma_type: one of `MMA_TYPES`, rows by weights; rows travel as the former.
    num_shared_experts: the last experts of each rank, which its own tokens all
      choose and others do not.
  """

  num_ranks: int
  num_experts: int
  max_tokens: int
  top_k: int
  hidden: int
  intermediate: int
  mma_type: str = "fp8xfp8"
  num_shared_experts: int = 0

  @property
  def experts_per_rank(self) -> int:
    """Experts of one rank."""
    return self.num_experts // self.num_ranks

  @property
  def routed_per_rank(self) -> int:
    """Experts of one rank that are not shared."""
    return self.experts_per_rank - self.num_shared_experts

  @property
  def routed_top_k(self) -> int:
    """Experts that a token chooses among those that are not shared."""
    return self.top_k - self.num_shared_experts

  @property
  def capacity(self) -> int:
    """Rows that fit: the most that can come, in whole tiles."""
    of_a_token = min(self.routed_top_k, self.routed_per_rank)
    rows = self.num_ranks * of_a_token + self.num_shared_experts
    return _align(self.max_tokens * rows, _ROW_ALIGNMENT)

  @property
  def num_slots(self) -> int:
    """Choices of a rank's tokens."""
    return self.max_tokens * self.top_k

  @property
  def counts_pitch(self) -> int:
    """Words from the counts of one rank to those of the next."""
    return _align(self.num_experts + 1, _VECTOR_WORDS)

  @property
  def x_bytes(self) -> int:
    """Bytes of an element of a row that travels."""
    return 1 if self.has_scales else 2

  @property
  def has_scales(self) -> bool:
    """Whether rows travel as FP8, with scales 1 x 128."""
    return self.mma_type.startswith("fp8x")

  def part_bytes(self, part: str) -> int:
    """Returns how many bytes a part holds."""
    sizes = {
      "header": HEADER_BYTES,
      "counts": 4 * self.num_ranks * self.counts_pitch,
      "flags": 4 * _NUM_PHASES * MAX_RANKS,
      "pool_x": self.capacity * self.hidden * self.x_bytes,
      "pool_sf": 4 * self.capacity * (self.hidden // 128),
      "pool_weights": 4 * self.capacity,
      "pool_sources": 4 * self.capacity,
      "results": 2 * self.num_slots * self.hidden,
    }
    return 0 if part == "pool_sf" and not self.has_scales else sizes[part]

  def offset_of(self, part: str) -> int:
    """Returns at which byte a part begins."""
    before = itertools.takewhile(lambda name: name != part, PARTS)
    return sum(_align(self.part_bytes(p), _PART_ALIGNMENT) for p in before)

  @property
  def counts_offset(self) -> int:
    """Byte at which the counts begin."""
    return self.offset_of("counts")

  @property
  def flags_offset(self) -> int:
    """Byte at which the flags begin."""
    return self.offset_of("flags")

  @property
  def pool_x_offset(self) -> int:
    """Byte at which the rows begin."""
    return self.offset_of("pool_x")

  @property
  def pool_sf_offset(self) -> int:
    """Byte at which their scales begin."""
    return self.offset_of("pool_sf")

  @property
  def pool_weights_offset(self) -> int:
    """Byte at which their weights begin."""
    return self.offset_of("pool_weights")

  @property
  def pool_sources_offset(self) -> int:
    """Byte at which what tells their sources begins."""
    return self.offset_of("pool_sources")

  @property
  def results_offset(self) -> int:
    """Byte at which the results begin."""
    return self.offset_of("results")

  @property
  def control_bytes(self) -> int:
    """Bytes in front of the rows: all that must be 0 before the first call."""
    return self.pool_x_offset

  @property
  def num_bytes(self) -> int:
    """Bytes of the arena."""
    last = PARTS[-1]
    return self.offset_of(last) + _align(self.part_bytes(last), _PART_ALIGNMENT)


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
