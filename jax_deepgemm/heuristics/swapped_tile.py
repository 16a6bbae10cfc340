"""What configurations of GEMMs with swapped operands have in common.

Rows of B are the rows of the tensor cores' instruction, all rows of A its
columns; the CTAs of a cluster share out K.
"""

from collections.abc import Iterator
from typing import Protocol, TypeVar

from jax_deepgemm.heuristics.device import Device

RESERVED_SMEM = 1024  # Bytes of shared memory that the system takes per CTA.
NUM_SPLITS = (1, 2, 4, 8)  # A cluster of 8 CTAs fits every Hopper GPU.
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
  def max_registers(self) -> int:
    """Registers that a thread can have."""
    warps = -(-self.num_threads // 32 * self.ctas_per_sm // 4)
    return min(_REGISTERS // (32 * warps) // 8 * 8, 255)


_Config = TypeVar("_Config", bound=SwappedTile)


class _Problem(Protocol):
  """What is read of a problem."""

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


def num_tiles_n(problem: _Problem, config: SwappedTile) -> int:
  """Returns how many clusters share out the columns of D."""
  return -(-problem.n // config.block_n)


def num_ctas(problem: _Problem, config: SwappedTile) -> int:
  """Returns the CTAs of the launch."""
  tiles = num_tiles_n(problem, config) * problem.num_groups
  return tiles * config.num_splits


def cta_stages(problem: _Problem, config: SwappedTile) -> int:
  """Returns the stages that the CTA with the most of them multiplies."""
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  return -(-stages // config.num_splits)


def shares_out(problem: _Problem, config: SwappedTile, block_k: int) -> bool:
  """Whether every CTA gets a stage, and stages are what TMA can load."""
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  if stages < config.num_splits:
    return False
  whole_blocks = problem.k % block_k == 0
  return config.stage_k_blocks == 1 or (
    whole_blocks and problem.num_k_blocks >= config.stage_k_blocks
  )


def smem_of_cta(device: Device, config: SwappedTile) -> int:
  """Returns the bytes of shared memory that a CTA can have."""
  all_of_sm = device.smem_bytes + RESERVED_SMEM
  return all_of_sm // config.ctas_per_sm - RESERVED_SMEM


def stages_that_fit(
  problem: _Problem, config: SwappedTile, device: Device, stage_bytes: int
) -> int:
  """Returns how many stages a CTA has, or 0 if they are too few.

  As many as there is work for: what is not allocated another CTA can have.
  """
  work = cta_stages(problem, config)
  free = smem_of_cta(device, config) - config.exchange_bytes
  num_stages = min(free // stage_bytes, work)
  return num_stages if num_stages >= min(2, work) else 0


def fit_launch(
  configs: Iterator[_Config],
  problem: _Problem,
  device: Device,
  *,
  may_wait: bool,
  splits: bool,
) -> Iterator[_Config]:
  """Returns those whose CTAs fit one to a multiprocessor, unless `may_wait`.

  The kernels do not walk tiles: with more CTAs it would not be known how many
  multiprocessors they take. Without `splits`, those that do not split.
  """
  for config in configs:
    if config.num_splits > 1 and not splits:
      continue
    if may_wait or num_ctas(problem, config) <= device.num_sms:
      yield config
