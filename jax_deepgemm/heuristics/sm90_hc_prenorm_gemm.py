"""Configurations of the Hopper kernel for a product with sums of squares."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device

BLOCK_K = 64  # Elements of a row of A that are 128 bytes.
_LINE_BYTES = 128
_BARRIER_BYTES = 16  # Two barriers for a stage, behind all stages.
_ANOTHER_BARRIER_BYTES = 8
_RESERVED_SMEM = 1024  # Bytes of shared memory that the system takes per CTA.
_MIN_AHEAD = 2  # Stages beyond the teams': with one, loading often pauses.
_MAX_K_BLOCKS = 16  # In all stages; more in flight bring nothing.
_BLOCK_NS = (8, 16, 24, 32)
_MOST_THREADS = 1024  # Of an SM; each has then 64 registers.


@dataclasses.dataclass(frozen=True)
class HcPrenormProblem:
  """D[s, g] = A[g] B[g]^T and sums of A[g]^2 over splits s of K.

  Attributes:
    m: rows of A.
    n: rows of B.
    k: columns of both.
    num_groups: products.
    num_partials: parts of K that are summed apart.
  """

  m: int
  n: int
  k: int
  num_groups: int = 1
  num_partials: int = 1

  @property
  def num_k_blocks(self) -> int:
    """Blocks that K is cut in; the last may be smaller."""
    return -(-self.k // BLOCK_K)


@dataclasses.dataclass(frozen=True)
class Sm90HcPrenormGemmConfig:
  """Mirrors the struct in cuda/kernels/sm90_hc_prenorm_gemm_types.cuh."""

  block_n: int
  num_math_warpgroups: int
  num_teams: int
  num_stages: int
  stage_k_blocks: int
  num_splits: int
  ctas_per_sm: int
  evict_first: bool

  @property
  def block_m(self) -> int:
    """Rows of A of a CTA."""
    return self.num_math_warpgroups * 64

  @property
  def cluster_size(self) -> int:
    """CTAs that share out K."""
    return self.num_splits

  @property
  def num_threads(self) -> int:
    """Threads of a CTA, the warp that loads included."""
    return self.num_math_warpgroups * self.num_teams * 128 + 32

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline: bfloat16 A and float32 B."""
    rows = self.block_m + 2 * self.block_n
    return self.stage_k_blocks * rows * _LINE_BYTES

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * (self.stage_bytes + _BARRIER_BYTES)
    return -(-(stages + _ANOTHER_BARRIER_BYTES) // 1024) * 1024

  @property
  def exchange_bytes(self) -> int:
    """Bytes of sums that a CTA is sent, where the stages were."""
    fragments = (self.block_n // 8 + 1) * self.num_math_warpgroups * 4
    own = -(-fragments // self.num_splits)
    return own * self.num_splits * self.num_teams * 512


def legal_configs(
  problem: HcPrenormProblem, device: Device
) -> Iterator[Sm90HcPrenormGemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  shapes = itertools.product(
    _block_ns(problem.n),
    (1, 2),  # num_math_warpgroups.
    (1, 2, 4),  # num_teams.
    (1, 2, 4),  # stage_k_blocks.
    (1, 2, 4, 8, 16),  # num_splits.
    (1, 2),  # ctas_per_sm.
  )
  for block_n, warpgroups, teams, blocks, num_splits, ctas_per_sm in shapes:
    # No part of a GPU has fewer than 8 multiprocessors, but some have not 16.
    if num_splits > min(8 * ctas_per_sm, device.num_sms):
      continue
    config = Sm90HcPrenormGemmConfig(
      block_n=block_n,
      num_math_warpgroups=warpgroups,
      num_teams=teams,
      num_stages=0,
      stage_k_blocks=blocks,
      num_splits=num_splits,
      ctas_per_sm=ctas_per_sm,
      evict_first=block_n >= problem.n,  # Else other tiles read A again.
    )
    num_stages = _num_stages(config, device)
    threads = config.num_threads * ctas_per_sm
    if num_stages >= teams + _MIN_AHEAD and threads <= _MOST_THREADS:
      yield dataclasses.replace(config, num_stages=num_stages)


def _block_ns(n: int) -> list[int]:
  """Returns widths of tiles: none has 8 columns that nobody needs."""
  return [x for x in _BLOCK_NS if x < n + 8]


def _num_stages(config: Sm90HcPrenormGemmConfig, device: Device) -> int:
  all_of_sm = device.smem_bytes + _RESERVED_SMEM
  smem = all_of_sm // config.ctas_per_sm - _RESERVED_SMEM
  whole = smem // 1024 * 1024 - _ANOTHER_BARRIER_BYTES
  fit = whole // (config.stage_bytes + _BARRIER_BYTES)
  num_stages = min(fit, _MAX_K_BLOCKS // config.stage_k_blocks)
  # A stage is always the same team's.
  return num_stages // config.num_teams * config.num_teams


def num_tiles(
  problem: HcPrenormProblem, config: Sm90HcPrenormGemmConfig
) -> tuple[int, int]:
  """Returns the tiles along M and N."""
  return -(-problem.m // config.block_m), -(-problem.n // config.block_n)


def num_clusters(
  problem: HcPrenormProblem, config: Sm90HcPrenormGemmConfig
) -> int:
  """Returns the clusters of the launch: one for each tile of each result."""
  tiles_m, tiles_n = num_tiles(problem, config)
  return tiles_m * tiles_n * problem.num_groups * problem.num_partials
