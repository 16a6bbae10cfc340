"""Estimated run time of a BF16 GEMM with swapped operands.

Sums need no promotion, so a stage costs what the tensor cores take. Fitted are
what a ring of two stages costs, and what many tokens lose: of 54 forms with 128
tokens in benchmarks/results/sweep_bf16.json the estimate is 1.01 of the time in
the median; 4096 x 7168 with 192 takes 25.9 us on an H200, 27.7 by the estimate.
"""

from jax_deepgemm.heuristics import swapped_cost
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  ATOM_ROWS,
  LINE_BYTES,
  Bf16GemmProblem,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
)

_STAGE_CYCLES = 250  # What a stage costs however little is in it,
_BARRIER_CYCLES = 20  # and on top of what is in it.
_TOKENS_THAT_DOUBLE = 1000
# While one of two stages is multiplied, half of the ring is not on its way: 8
# products of 1024 x 4096 on an H200 take 24.3 us with two stages where 21.2 is
# the time with four half as large for 32 tokens, 39.0 and 24.2 for 128.
_TWO_STAGE_LOSS = 0.1
_TWO_STAGE_LOSS_OF_TOKEN = 1 / 256


def estimate_swapped_seconds(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmSwappedConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  cycles = swapped_cost.mma_cycles(config) + _BARRIER_CYCLES
  stage = swapped_cost.StageTimes(
    cycles=max(_STAGE_CYCLES, cycles),
    num_boxes=_boxes_of_a(config) + _boxes_of_b(config),
    run_bytes=LINE_BYTES * _lines_in_a_row(config),
    tokens_that_double=_TOKENS_THAT_DOUBLE,
    two_stage_loss=_TWO_STAGE_LOSS + _TWO_STAGE_LOSS_OF_TOKEN * config.block_m,
  )
  seconds = swapped_cost.estimate_seconds(problem, config, device, stage)
  return seconds + _result_bytes(problem) / device.memory_bandwidth


def _result_bytes(problem: Bf16GemmProblem) -> int:
  """Returns what is stored when all sums are there."""
  return problem.num_groups * problem.m * problem.n * problem.out_bytes


def _lines_in_a_row(config: Sm90Bf16GemmSwappedConfig) -> int:
  """Returns how many lines of a stage of B follow each other in memory."""
  if config.b_mn_major:
    return config.num_math_warpgroups
  return config.stage_k_blocks


def _boxes_of_a(config: Sm90Bf16GemmSwappedConfig) -> int:
  if config.a_mn_major:
    return config.stage_k_blocks * config.a_rows // ATOM_ROWS
  return 1


def _boxes_of_b(config: Sm90Bf16GemmSwappedConfig) -> int:
  return config.num_math_warpgroups if config.b_mn_major else 1
