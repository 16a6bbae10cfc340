"""Problems and configurations of the Hopper exchange of tokens' rows."""

import dataclasses
import zlib

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.mega_moe_arena import MAX_RANKS, MegaMoeArena

_MOST_EXPERTS = 1024
_MOST_SLOTS = 32
_MOST_ROWS = 2**31 - 1
_NUM_WARPS = 16
# Shared memory has counters for so many.
_EXPERT_CLASSES = (64, 256, 512, 1024)
_PIECES_IN_FLIGHT = 8
# A CTA has no fewer, unless there are enough CTAs: stores of one
# multiprocessor are slower than NVLink.
_TOKENS_PER_CTA = 4


@dataclasses.dataclass(frozen=True)
class MegaMoeDispatchProblem:
  """Rows of `num_tokens` tokens that go to the ranks of their experts.

  Attributes:
    num_tokens: rows of this rank's operands; how many of them count is known
      to the device alone.
    arena: the symmetric memory's layout.
  """

  num_tokens: int
  arena: MegaMoeArena

  @property
  def num_scales(self) -> int:
    """Scales of a row, 0 for bfloat16."""
    return self.arena.hidden // 128 if self.arena.has_scales else 0

  @property
  def row_bytes(self) -> int:
    """Bytes of a row without its scales."""
    return self.arena.hidden * self.arena.x_bytes

  @property
  def shape_hash(self) -> int:
    """31 bits that ranks of other shapes do not have."""
    return zlib.crc32(repr(dataclasses.astuple(self.arena)).encode()) >> 1


@dataclasses.dataclass(frozen=True)
class Sm90MegaMoeDispatchConfig:
  """Mirrors the struct in cuda/kernels/sm90_mega_moe_dispatch_types.cuh."""

  num_warps: int
  max_experts: int
  pieces_in_flight: int
  has_scales: bool

  @property
  def num_threads(self) -> int:
    """Threads of a block."""
    return 32 * self.num_warps

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    words = (self.num_warps + 2) * self.max_experts + 4
    return -(-(4 * words + 8 * MAX_RANKS + 1) // 16) * 16


def choose(
  problem: MegaMoeDispatchProblem, device: Device
) -> Sm90MegaMoeDispatchConfig:
  """Returns the configuration that computes `problem`.

  Raises:
    NotImplementedError: a size is too large.
  """
  del device
  arena = problem.arena
  if (
    arena.num_experts > _MOST_EXPERTS
    or arena.num_ranks > MAX_RANKS
    or arena.top_k > _MOST_SLOTS
    or arena.capacity > _MOST_ROWS
    or arena.num_ranks * arena.num_slots > _MOST_ROWS
  ):
    raise NotImplementedError(
      f"mega_moe has a Hopper kernel for up to {_MOST_EXPERTS} experts, "
      f"{MAX_RANKS} ranks and {_MOST_SLOTS} experts of a token, and fewer "
      f"than 2**31 rows and choices, got {arena}; "
      'options(implementation="reference") computes it without'
    )
  return Sm90MegaMoeDispatchConfig(
    num_warps=_NUM_WARPS,
    max_experts=next(n for n in _EXPERT_CLASSES if n >= arena.num_experts),
    pieces_in_flight=_PIECES_IN_FLIGHT,
    has_scales=problem.num_scales > 0,
  )


def num_ctas(
  problem: MegaMoeDispatchProblem, device: Device, num_sms: int | None
) -> int:
  """Returns how many CTAs exchange rows, all of them resident at once.

  Args:
    problem: sizes of this rank.
    device: what they run on.
    num_sms: multiprocessors that they may use; None is all.
  """
  wanted = -(-problem.num_tokens // _TOKENS_PER_CTA)
  most = min(num_sms or device.num_sms, device.num_sms)
  return max(min(wanted, most), 1)
