"""Estimated run time of an FP8 GEMM with swapped operands.

The loss with many tokens is fitted to
benchmarks/results/sweep_fp8_swapped.json.
"""

from jax_deepgemm.heuristics import swapped_cost
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
)

_ROUND_CYCLES = 150  # Barriers, and the latency of products in flight.
# A tile of 64 tokens takes 1.14 times as long as all else says, one of 128
# tokens 1.32 times; up to 16 it is right.
_TOKENS_THAT_DOUBLE = 350


def estimate_swapped_seconds(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  stage = swapped_cost.StageTimes(
    cycles=_stage_cycles(config),
    num_boxes=3,
    run_bytes=config.stage_k_blocks * BLOCK_K,
    tokens_that_double=_TOKENS_THAT_DOUBLE,
  )
  return swapped_cost.estimate_seconds(problem, config, device, stage)


def _stage_cycles(config: Sm90Fp8GemmSwappedConfig) -> float:
  rounds = config.stage_k_blocks // config.mma_k_blocks
  # The last product of a round is promoted while nothing multiplies.
  exposed = _ROUND_CYCLES + config.block_m + 16
  return swapped_cost.mma_cycles(config) + rounds * exposed
