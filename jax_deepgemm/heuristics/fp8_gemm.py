"""Which configuration computes an FP8 GEMM."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.choice import of_block_sizes, tuned_or_cheapest
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.fp8_gemm_split_cost import estimate_split_seconds
from jax_deepgemm.heuristics.fp8_gemm_swapped_cost import (
  estimate_swapped_seconds,
)
from jax_deepgemm.heuristics.raster import strip_width
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
  num_tiles,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  legal_split_configs,
  num_split_ctas,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.heuristics.swapped_choice import fit_launch
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable

Config = Sm90Fp8GemmConfig | Sm90Fp8GemmSwappedConfig | Sm90Fp8GemmSplitConfig


def choose(
  problem: Fp8GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  batch_invariant: bool = False,
  prefetch_weights: bool = False,
  user: UserTable = EMPTY,
) -> Config:
  """Returns the tuned configuration of `problem`, else the cheapest legal one.

  A pure function: the same in every process of a job.

  Args:
    problem: what to compute.
    device: what computes it.
    num_sms: multiprocessors to use; all of the device's if None.
    block_size_multiple_of: what block_m and block_n must be multiples of.
    batch_invariant: K is summed up in one order whatever the problem's sizes.
    prefetch_weights: B is fetched to L2 before the previous kernel ends, where
      the kernel can.
    user: what was measured on the user's GPU; it goes before all else.

  Raises:
    ValueError: no configuration is legal.
  """
  if num_sms is not None:
    device = dataclasses.replace(device, num_sms=num_sms)
  launches = functools.partial(
    fit_launch,
    problem=problem,
    device=device,
    may_wait=num_sms is None,
    splits=not batch_invariant,
  )
  prefetch = {"prefetch_weights": prefetch_weights}
  legal: Iterator[Config] = itertools.chain(
    legal_configs(problem, device),
    launches(legal_swapped_configs(problem, device, **prefetch)),
    launches(
      legal_split_configs(problem, device, **prefetch), ctas_of=num_split_ctas
    ),
  )
  return tuned_or_cheapest(
    of_block_sizes(legal, block_size_multiple_of, problem, device),
    (
      user.key(tuned.FAMILY, tuned.problem_name(problem), device),
      tuned.lookup(problem, device),
    ),
    tuned.key_of,
    lambda config: estimate(problem, config, device),
  )


def estimate(problem: Fp8GemmProblem, config: Config, device: Device) -> float:
  """Returns the estimated seconds of whichever kernel `config` is of."""
  if isinstance(config, Sm90Fp8GemmSplitConfig):
    return estimate_split_seconds(problem, config, device)
  if isinstance(config, Sm90Fp8GemmSwappedConfig):
    return estimate_swapped_seconds(problem, config, device)
  return estimate_seconds(problem, config, device)


def raster_width(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmConfig, num_clusters: int
) -> int:
  """Returns how many tiles of M are walked before the next tile of N."""
  return tile_raster_width(*num_tiles(problem, config), config, num_clusters)


def tile_raster_width(
  tiles_m: int, tiles_n: int, config: Sm90Fp8GemmConfig, num_clusters: int
) -> int:
  """Returns how many of `tiles_m` are walked before the next of `tiles_n`."""
  return strip_width(
    tiles_m,
    tiles_n,
    config.block_m * config.cluster_m,
    config.block_n * config.cluster_n,
    num_clusters,
  )
