"""What configurations of GEMMs with swapped operands have in common.

Rows of B are the rows of the tensor cores' instruction, all rows of A its
columns; the CTAs of a cluster share out K.
"""

from typing import Protocol

_REGISTERS = 16384  # Of a quarter of a multiprocessor, which has whole warps.


class SwappedTile:
  """What follows from the fields of a configuration.

  Attributes:
    block_m: rows of A, all of them.
    num_math_warpgroups: each has 64 rows of B.
    num_stages: of the pipeline.
    stage_k_blocks: blocks of K that are loaded together.
    num_splits: CTAs that share out K.
    ctas_per_sm: CTAs that have room on one multiprocessor.
    evict_first: what L2 holds of B is the first to be replaced.
  """

  block_m: int
  num_math_warpgroups: int
  num_stages: int
  stage_k_blocks: int
  num_splits: int
  ctas_per_sm: int
  evict_first: bool

  @property
  def block_n(self) -> int:
    """Columns of D that a cluster computes."""
    return self.num_math_warpgroups * 64

  @property
  def cluster_size(self) -> int:
    """CTAs that share out K."""
    return self.num_splits

  @property
  def num_threads(self) -> int:
    """Threads of a CTA, the warp that loads included."""
    return self.num_math_warpgroups * 128 + 32

  @property
  def exchange_bytes(self) -> int:
    """Bytes for sums of other splits, for transposing, and a barrier."""
    warps = self.num_math_warpgroups * 4
    fragments = self.block_m // 8 * warps
    received = 1
    if self.num_splits > 1:
      received = self.num_splits * -(-fragments // self.num_splits)
    return received * 512 + warps * 8 * 20 * 4 + 8

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline."""
    raise NotImplementedError

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    raise NotImplementedError

  @property
  def max_registers(self) -> int:
    """Registers that a thread can have."""
    return max_registers(self.num_threads, self.ctas_per_sm)


def max_registers(num_threads: int, ctas_per_sm: int) -> int:
  """Returns the registers that a thread can have."""
  warps = -(-num_threads // 32 * ctas_per_sm // 4)
  return min(_REGISTERS // (32 * warps) // 8 * 8, 255)


class SwappedProblem(Protocol):
  """What is read of a problem."""

  @property
  def m(self) -> int:
    """Rows of A and D."""

  @property
  def n(self) -> int:
    """Columns of D."""

  @property
  def k(self) -> int:
    """Length of the sums."""

  @property
  def num_groups(self) -> int:
    """Products."""

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that are loaded at least at a time."""


def num_tiles_n(problem: SwappedProblem, config: SwappedTile) -> int:
  """Returns how many clusters share out the columns of D."""
  return -(-problem.n // config.block_n)


def num_ctas(problem: SwappedProblem, config: SwappedTile) -> int:
  """Returns the CTAs of the launch."""
  tiles = num_tiles_n(problem, config) * problem.num_groups
  return tiles * config.num_splits


def cta_stages(problem: SwappedProblem, config: SwappedTile) -> int:
  """Returns the stages that the CTA with the most of them multiplies."""
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  return -(-stages // config.num_splits)
