"""Which configuration computes a BF16 GEMM."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics import tuned_bf16
from jax_deepgemm.heuristics.bf16_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.bf16_gemm_swapped_cost import (
  estimate_swapped_seconds,
)
from jax_deepgemm.heuristics.choice import of_block_sizes, tuned_or_cheapest
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.raster import strip_width
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
  num_tiles,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.heuristics.swapped_choice import fit_launch
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable

Config = Sm90Bf16GemmConfig | Sm90Bf16GemmSwappedConfig


def choose(
  problem: Bf16GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  batch_invariant: bool = False,
  prefetch_weights: bool = False,
  user: UserTable = EMPTY,
) -> Config:
  """Returns the tuned configuration of `problem`, else the cheapest legal one.

  A pure function: the same in every process of a job. Arguments and errors are
  those of `fp8_gemm.choose`.
  """
  if num_sms is not None:
    device = dataclasses.replace(device, num_sms=num_sms)
  swapped = fit_launch(
    legal_swapped_configs(problem, device, prefetch_weights=prefetch_weights),
    problem,
    device,
    may_wait=num_sms is None,
    splits=not batch_invariant,
  )
  legal: Iterator[Config] = itertools.chain(
    legal_configs(problem, device), swapped
  )
  return tuned_or_cheapest(
    of_block_sizes(legal, block_size_multiple_of, problem, device),
    (
      user.key(tuned_bf16.FAMILY, tuned_bf16.problem_name(problem), device),
      tuned_bf16.lookup(problem, device),
    ),
    tuned_bf16.key_of,
    lambda config: estimate(problem, config, device),
  )


def estimate(problem: Bf16GemmProblem, config: Config, device: Device) -> float:
  """Returns the estimated seconds of either kernel."""
  if isinstance(config, Sm90Bf16GemmSwappedConfig):
    return estimate_swapped_seconds(problem, config, device)
  return estimate_seconds(problem, config, device)


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
