"""Problems and configurations of the Hopper sum of experts' results."""

import dataclasses

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.mega_moe_arena import MegaMoeArena

_NUM_WARPS = 16
_SLOTS_IN_FLIGHT = 8
_MOST_TILES = 2**31 - 1
_TILE_COLUMNS = 256  # Of a warp; kTileColumns in the kernel.


@dataclasses.dataclass(frozen=True)
class MegaMoeCombineProblem:
  """Sums of the results of `num_tokens` tokens.

  Attributes:
    num_tokens: rows of the sums.
    arena: the symmetric memory's layout.
  """

  num_tokens: int
  arena: MegaMoeArena


@dataclasses.dataclass(frozen=True)
class Sm90MegaMoeCombineConfig:
  """Mirrors the struct in cuda/kernels/sm90_mega_moe_combine_types.cuh."""

  num_warps: int
  slots_in_flight: int

  @property
  def num_threads(self) -> int:
    """Threads of a block."""
    return 32 * self.num_warps

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    return 16  # The number of the call, and whether it was stopped.


def choose(problem: MegaMoeCombineProblem) -> Sm90MegaMoeCombineConfig:
  """Returns the configuration that computes `problem`.

  Raises:
    NotImplementedError: there are too many tokens.
  """
  if _num_tiles(problem) > _MOST_TILES:
    raise NotImplementedError(
      "mega_moe has a Hopper kernel for fewer than 2**31 pieces of"
      f" {_TILE_COLUMNS} columns, got {problem}; "
      'options(implementation="reference") computes it without'
    )
  # Loads of slots that there are not would only take registers.
  slots = 1 << (min(problem.arena.top_k, _SLOTS_IN_FLIGHT) - 1).bit_length()
  return Sm90MegaMoeCombineConfig(num_warps=_NUM_WARPS, slots_in_flight=slots)


def num_ctas(
  problem: MegaMoeCombineProblem, device: Device, num_sms: int | None
) -> int:
  """Returns how many CTAs sum, all of them resident at once.

  Args:
    problem: sizes of this rank.
    device: what they run on.
    num_sms: multiprocessors that they may use; None is all.
  """
  wanted = -(-_num_tiles(problem) // _NUM_WARPS)
  most = min(num_sms or device.num_sms, device.num_sms)
  return max(min(wanted, most), 1)


def _num_tiles(problem: MegaMoeCombineProblem) -> int:
  return problem.num_tokens * -(-problem.arena.hidden // _TILE_COLUMNS)
