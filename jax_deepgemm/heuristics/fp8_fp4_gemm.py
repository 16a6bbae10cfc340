"""Which configuration computes an FP8 GEMM with FP4 weights."""

import functools
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics import (
  fp8_fp4_gemm_swapped_cost,
  swapped_cost,
  tuned_fp4,
)
from jax_deepgemm.heuristics import sm90_fp8_fp4_gemm as many_rows
from jax_deepgemm.heuristics import sm90_fp8_fp4_gemm_swapped as few_rows
from jax_deepgemm.heuristics.choice import candidates, tuned_or_cheapest
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm import tile_raster_width
from jax_deepgemm.heuristics.fp8_gemm_cost import (
  CLOCK,
  estimate_seconds,
  num_waves,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  Sm90Fp8Fp4GemmConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import num_tiles
from jax_deepgemm.heuristics.swapped_choice import fit_launch

Config = Sm90Fp8Fp4GemmConfig | Sm90Fp8Fp4GemmSwappedConfig

_WEIGHT_BYTES = 17 / 32  # Of an element of B, its share of an exponent too.
# With many rows, of the warps that decode: what a K block costs however little
# is in it, and 128 x 128 codes, by the stalls that ptxas wrote into the kernel.
_BLOCK_CYCLES = 420
_CODES_CYCLES = 480


def choose(
  problem: Fp8Fp4GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  batch_invariant: bool = False,
  prefetch_weights: bool = False,
) -> Config:
  """Returns the tuned configuration of `problem`, else the cheapest legal one.

  A pure function: the same in every process of a job. Arguments and errors are
  those of `fp8_gemm.choose`.
  """
  legal = functools.partial(
    legal_configs,
    may_wait=num_sms is None,
    splits=not batch_invariant,
    prefetch_weights=prefetch_weights,
  )
  configs, device = candidates(
    legal, problem, device, num_sms, block_size_multiple_of
  )
  return tuned_or_cheapest(
    configs,
    (tuned_fp4.lookup(problem, device),),
    tuned_fp4.key_of,
    lambda config: estimate(problem, config, device),
  )


def legal_configs(
  problem: Fp8Fp4GemmProblem,
  device: Device,
  *,
  may_wait: bool = True,
  splits: bool = True,
  prefetch_weights: bool = False,
) -> Iterator[Config]:
  """Returns the configurations of both kernels, as `choose` is asked."""
  swapped = fit_launch(
    few_rows.legal_swapped_configs(
      problem, device, prefetch_weights=prefetch_weights
    ),
    problem,
    device,
    may_wait=may_wait,
    splits=splits,
  )
  return itertools.chain(many_rows.legal_configs(problem, device), swapped)


def estimate(
  problem: Fp8Fp4GemmProblem, config: Config, device: Device
) -> float:
  """Returns the estimated seconds: those of FP8, with fewer bytes to read.

  But no fewer than decoding takes.
  """
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    stage = fp8_fp4_gemm_swapped_cost.stage_times(config)
    return swapped_cost.estimate_seconds(problem, config, device, stage)
  seconds = estimate_seconds(
    problem.fp8, config, device, weight_bytes=_WEIGHT_BYTES
  )
  return max(seconds, _decoding_seconds(problem, config, device))


def _decoding_seconds(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmConfig, device: Device
) -> float:
  """Returns what a multiprocessor takes to decode its tiles' rows of B."""
  waves = num_waves(problem.fp8, config, device)
  block = _BLOCK_CYCLES + _CODES_CYCLES * config.block_n / 128
  return waves * problem.num_k_blocks * block / CLOCK


def raster_width(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmConfig, num_clusters: int
) -> int:
  """Returns how many tiles of M are walked before the next tile of N."""
  tiles = num_tiles(problem.fp8, config)
  return tile_raster_width(*tiles, config, num_clusters)
