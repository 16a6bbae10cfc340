"""Which configuration computes an FP8 GEMM of groups of rows.

How many rows a group has is known on the device alone. The choice goes by how
many are expected; every configuration is right for any number.
"""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics import fp8_gemm_cost
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
  max_num_stages,
  num_tiles,
)

MAX_GROUPS = 1024  # Their table takes 12 KB of shared memory.
_SLAB_ROWS = 64  # What one wgmma multiplies; a slab without rows is left out.


@dataclasses.dataclass(frozen=True)
class MGroupedFp8GemmProblem:
  """Rows `[m, k]`, each times the `[n, k]` of its group.

  Attributes:
    m: rows of all groups, and of none.
    expected_m: rows that a group is expected to have.
    row_alignment: what rows at which groups begin are multiples of.
    float32_out: the result is float32 instead of bfloat16.
  """

  m: int
  n: int
  k: int
  num_groups: int
  expected_m: int
  row_alignment: int = 1
  float32_out: bool = False

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that have a scale of their own."""
    return -(-self.k // BLOCK_K)

  @property
  def out_bytes(self) -> int:
    """Bytes of an element of D."""
    return 4 if self.float32_out else 2

  @property
  def expected(self) -> Fp8GemmProblem:
    """The dense problem that this is if all groups are as expected."""
    return Fp8GemmProblem(
      m=self.expected_m,
      n=self.n,
      k=self.k,
      num_groups=self.num_groups,
      float32_out=self.float32_out,
    )


def legal_grouped_configs(
  problem: MGroupedFp8GemmProblem, device: Device
) -> Iterator[Sm90Fp8GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  # As if each tile were full: a group may have any number of rows.
  full = dataclasses.replace(problem.expected, m=max(problem.m, 1024))
  max_groups = 8
  while max_groups < problem.num_groups:
    max_groups *= 2
  for config in legal_configs(full, device):
    if config.cluster_m > 1 and problem.expected_m <= config.block_m:
      continue
    config = dataclasses.replace(config, max_groups=max_groups)
    if config.sfa_rows == config.block_m and problem.row_alignment % 4:
      continue
    num_stages = min(config.num_stages, max_num_stages(config, device))
    if num_stages >= 3:
      yield dataclasses.replace(config, num_stages=num_stages)


def choose_grouped(
  problem: MGroupedFp8GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
) -> Sm90Fp8GemmConfig:
  """Returns the legal configuration with the least estimated time.

  A pure function: the same in every process of a job.

  Args:
    problem: what to compute.
    device: what computes it.
    num_sms: multiprocessors to use; all of the device's if None.
    block_size_multiple_of: what block_m and block_n must be multiples of.

  Raises:
    ValueError: no configuration is legal.
  """
  if num_sms is not None:
    device = dataclasses.replace(device, num_sms=num_sms)
  configs = [
    config
    for config in legal_grouped_configs(problem, device)
    if config.block_m % block_size_multiple_of[0] == 0
    and config.block_n % block_size_multiple_of[1] == 0
  ]
  if not configs:
    raise ValueError(
      f"no configuration fits {problem} on {device} with block sizes that"
      f" are multiples of {block_size_multiple_of}"
    )
  return min(
    configs,
    key=lambda config: estimate_grouped_seconds(problem, config, device),
  )


def estimate_grouped_seconds(
  problem: MGroupedFp8GemmProblem, config: Sm90Fp8GemmConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  tiles_m, _ = num_tiles(problem.expected, config)
  rows = tiles_m * config.block_m * config.cluster_m
  live = -(-problem.expected_m // _SLAB_ROWS) * _SLAB_ROWS
  return fp8_gemm_cost.estimate_seconds(
    problem.expected, config, device, live_rows=live / rows
  )
