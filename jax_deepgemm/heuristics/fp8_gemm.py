"""Which configuration computes an FP8 GEMM."""

import dataclasses

from jax_deepgemm.heuristics import tuned
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
  num_tiles,
)


def choose(
  problem: Fp8GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
) -> Sm90Fp8GemmConfig:
  """Returns the tuned configuration of `problem`, else the cheapest legal one.

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
    for config in legal_configs(problem, device)
    if config.block_m % block_size_multiple_of[0] == 0
    and config.block_n % block_size_multiple_of[1] == 0
  ]
  if not configs:
    raise ValueError(
      f"no configuration fits {problem} on {device} with block sizes that"
      f" are multiples of {block_size_multiple_of}"
    )
  key = tuned.lookup(problem, device)
  for config in configs:
    if tuned.key_of(config) == key:
      return config
  return min(
    configs, key=lambda config: estimate_seconds(problem, config, device)
  )


def raster_width(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmConfig, num_clusters: int
) -> int:
  """Returns how many tiles of M are walked before the next tile of N."""
  return tile_raster_width(*num_tiles(problem, config), config, num_clusters)


def tile_raster_width(
  tiles_m: int, tiles_n: int, config: Sm90Fp8GemmConfig, num_clusters: int
) -> int:
  """Returns how many of `tiles_m` are walked before the next of `tiles_n`.

  The clusters that run at one time then read the fewest rows of A and B
  together. Widths that leave a narrow last strip cost a little.
  """
  cluster_rows = config.block_m * config.cluster_m
  cluster_columns = config.block_n * config.cluster_n
  in_flight = min(num_clusters, tiles_m * tiles_n)

  def rows_read(width: int) -> float:
    columns = -(-in_flight // width) * cluster_columns
    ragged = 0.02 * width * cluster_rows if tiles_m % width else 0
    return width * cluster_rows + columns + ragged

  return min(range(1, min(tiles_m, 32) + 1), key=rows_read)
