"""Which configuration computes a BF16 GEMM."""

import dataclasses

from jax_deepgemm.heuristics import tuned_bf16
from jax_deepgemm.heuristics.bf16_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.choice import of_block_sizes, tuned_or_cheapest
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.raster import strip_width
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
  num_tiles,
)
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable


def choose(
  problem: Bf16GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  user: UserTable = EMPTY,
) -> Sm90Bf16GemmConfig:
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
  legal = legal_configs(problem, device)
  return tuned_or_cheapest(
    of_block_sizes(legal, block_size_multiple_of, problem, device),
    (
      user.key(tuned_bf16.FAMILY, tuned_bf16.problem_name(problem), device),
      tuned_bf16.lookup(problem, device),
    ),
    tuned_bf16.key_of,
    lambda config: estimate_seconds(problem, config, device),
  )


def raster_width(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig, num_clusters: int
) -> int:
  """Returns how many tiles of M are walked before the next tile of N."""
  return strip_width(
    *num_tiles(problem, config),
    config.block_m * config.cluster_m,
    config.block_n * config.cluster_n,
    num_clusters,
  )
