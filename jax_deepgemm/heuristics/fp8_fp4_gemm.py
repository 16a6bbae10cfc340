"""Which configuration computes an FP8 GEMM with FP4 weights."""

import dataclasses

from jax_deepgemm.heuristics.choice import of_block_sizes
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import tile_raster_width
from jax_deepgemm.heuristics.fp8_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  Sm90Fp8Fp4GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import num_tiles

_WEIGHT_BYTES = 17 / 32  # Of an element of B, its share of an exponent too.


def choose(
  problem: Fp8Fp4GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
) -> Sm90Fp8Fp4GemmConfig:
  """Returns the cheapest legal configuration of `problem`.

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
  configs = of_block_sizes(
    legal_configs(problem, device), block_size_multiple_of, problem, device
  )
  return min(configs, key=lambda config: estimate(problem, config, device))


def estimate(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmConfig, device: Device
) -> float:
  """Returns the estimated seconds: those of FP8, with fewer bytes to read.

  Decoding is hidden: 128 x 128 codes take a warpgroup some 300 cycles. Not
  fitted, as the kernel has not been measured.
  """
  return estimate_seconds(
    problem.fp8, config, device, weight_bytes=_WEIGHT_BYTES
  )


def raster_width(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmConfig, num_clusters: int
) -> int:
  """Returns how many tiles of M are walked before the next tile of N."""
  tiles = num_tiles(problem.fp8, config)
  return tile_raster_width(*tiles, config, num_clusters)
