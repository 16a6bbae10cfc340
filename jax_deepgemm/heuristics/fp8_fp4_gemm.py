"""Which configuration computes an FP8 GEMM with FP4 weights."""

import functools
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics import sm90_fp8_fp4_gemm as many_rows
from jax_deepgemm.heuristics import sm90_fp8_fp4_gemm_swapped as few_rows
from jax_deepgemm.heuristics import swapped_cost, tuned_fp4
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
# Instructions of a thread for a K block with few rows: decoding, and what each
# column of the tensor cores' instruction adds. Counted in the compiled kernels:
# 134 with 8 columns, 215 with 32, 280 to 323 with 64.
_DECODE_CYCLES = 110
_COLUMN_CYCLES = 3
# Half of the instructions that decode are of a unit that takes one in two
# cycles, those of columns multiply and add every cycle. Not measured.
_CYCLES_OF_DECODING = 1.5
_STAGE_CYCLES = 150  # Barriers, and the latency of the last products.
_ROUND_CYCLES = 60  # Of it, what decoding less than a K block does not hide.
_TOKENS_THAT_DOUBLE = 350  # As with FP8 weights.
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
    stage = swapped_cost.StageTimes(
      cycles=_stage_cycles(config),
      num_boxes=3,
      run_bytes=config.stage_k_blocks * few_rows.CODE_BYTES,
      tokens_that_double=_TOKENS_THAT_DOUBLE,
      weight_bytes=few_rows.CODE_BYTES + 4,
      issue_cycles=_issue_cycles(config),
    )
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


def _issue_cycles(config: Sm90Fp8Fp4GemmSwappedConfig) -> float:
  block = _DECODE_CYCLES + _COLUMN_CYCLES * config.block_m
  return config.stage_k_blocks * block


def _stage_cycles(config: Sm90Fp8Fp4GemmSwappedConfig) -> float:
  """Cycles that a warpgroup needs for a stage if nothing holds it up."""
  # All but the last round are multiplied while the next is decoded.
  rounds = config.stage_k_blocks * 4 // config.mma_groups
  last = swapped_cost.mma_cycles(config) / rounds
  waits = _STAGE_CYCLES
  if config.mma_groups < 4:
    waits += (rounds - 1) * _ROUND_CYCLES
  block = _CYCLES_OF_DECODING * _DECODE_CYCLES + _COLUMN_CYCLES * config.block_m
  return config.stage_k_blocks * block + last + waits


def raster_width(
  problem: Fp8Fp4GemmProblem, config: Sm90Fp8Fp4GemmConfig, num_clusters: int
) -> int:
  """Returns how many tiles of M are walked before the next tile of N."""
  tiles = num_tiles(problem.fp8, config)
  return tile_raster_width(*tiles, config, num_clusters)
