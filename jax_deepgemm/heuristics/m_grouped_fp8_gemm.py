"""Which configuration computes an FP8 GEMM of groups of rows.

How many rows a group has is known on the device alone. The choice goes by how
many are expected; every configuration is right for any number.
"""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics import tuned, tuned_grouped
from jax_deepgemm.heuristics.choice import of_block_sizes, tuned_or_cheapest
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_cost import (
  estimate_grouped_seconds,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Sm90Fp8GemmConfig,
  legal_configs,
  max_num_stages,
)
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable

MAX_GROUPS = 1024  # Their table takes 12 KB of shared memory.


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
  user: UserTable = EMPTY,
) -> Sm90Fp8GemmConfig:
  """Returns the tuned configuration of `problem`, else the cheapest legal one.

  A pure function: the same in every process of a job.

  Args:
    problem: what to compute.
    device: what computes it.
    num_sms: multiprocessors to use; all of the device's if None.
    block_size_multiple_of: what block_m and block_n must be multiples of.
    user: what was measured on the user's GPU; it goes before all else.

  Raises:
    ValueError: no configuration is legal.
  """
  if num_sms is not None:
    device = dataclasses.replace(device, num_sms=num_sms)
  legal = legal_grouped_configs(problem, device)
  return tuned_or_cheapest(
    of_block_sizes(legal, block_size_multiple_of, problem, device),
    tuned_grouped.m_grouped_keys(problem, device, user),
    tuned.key_of,
    lambda config: estimate_grouped_seconds(problem, config, device),
  )
