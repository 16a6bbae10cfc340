"""Estimated run times of groups of rows with FP4 weights.

What the kernel for few rows takes was predicted from the dense one, and is
measured in docs/performance.md.
"""

import dataclasses

from jax_deepgemm.heuristics import fp8_fp4_gemm_swapped_cost, swapped_cost
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import CLOCK
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import Sm90Fp8Fp4GemmConfig
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.swapped_tile import cta_stages, num_tiles_n

_FIXED_SECONDS = 6e-6  # Launch, table of groups, first bytes, last sums.
# Sizes of groups around what is expected: as far as if rows chose their group
# at random, or a fifth, whichever is more.
_DEVIATIONS = tuple(-1.6 + 0.4 * i for i in range(9))
_LEAST_DEVIATION = 0.2
# What a K block and 64 rows of B take of a multiprocessor, decoding and each
# column. Of the dense kernel 557 cycles were measured with 64 columns, two
# warpgroups and two K blocks a stage; with 8 columns no more than memory takes.
_DECODE_CYCLES = 165
_COLUMN_CYCLES = 6.1
# From the same measurements: 617 cycles with one K block a stage, 665 if it is
# multiplied 32 of K at a time, 704 with one warpgroup on a multiprocessor.
_SHORT_STAGE_LOSS = 1.1
_SHORT_ROUND_LOSS = 1.08
_ALONE_LOSS = 1.26
# CTAs of one warpgroup each beside CTAs of two, 32 groups of 20 rows: 2 to 9 %.
_APART_LOSS = 1.06
# Of the warps that decode for many rows: 1280 to 1420 cycles for a K block and
# 128 columns where groups have 1 to 48 rows, in fp8_fp4_mega_moe.
_BLOCK_CYCLES = 630
_CODES_CYCLES = 720


def estimate_swapped_seconds(
  problem: MGroupedFp8Fp4GemmProblem,
  config: Sm90Fp8Fp4GemmSwappedConfig,
  device: Device,
) -> float:
  """Returns the estimated run time of the kernel for few rows.

  CTAs walk tiles: all of them at the memory's rate or the warps', and then
  those of the last round.
  """
  tiles_m = _tiles_of_group(problem.expected_m, config.block_m)
  tiles = tiles_m * num_tiles_n(problem, config) * problem.num_groups
  slots = device.num_sms * config.ctas_per_sm
  rounds, rest = divmod(round(tiles), slots)
  seconds = rounds * _round_seconds(problem, config, device, slots, tiles_m)
  if rest:
    seconds += _round_seconds(problem, config, device, rest, tiles_m)
  return _FIXED_SECONDS + seconds


def _round_seconds(
  problem: MGroupedFp8Fp4GemmProblem,
  config: Sm90Fp8Fp4GemmSwappedConfig,
  device: Device,
  present: int,
  tiles_m: float,
) -> float:
  """Returns what a tile of each of `present` CTAs takes."""
  stages = cta_stages(problem, config)
  stage = dataclasses.replace(
    fp8_fp4_gemm_swapped_cost.stage_times(config),
    issue_cycles=config.stage_k_blocks * _block_cycles(config),
  )
  return max(
    swapped_cost.read_seconds(
      config, device, stage, present, stages, from_memory=1 / tiles_m
    ),
    swapped_cost.multiply_seconds(config, device, stage, present, stages),
  )


def _block_cycles(config: Sm90Fp8Fp4GemmSwappedConfig) -> float:
  """Returns what a K block takes of a multiprocessor's time."""
  cycles = _DECODE_CYCLES + _COLUMN_CYCLES * config.block_m
  if config.stage_k_blocks == 1:
    cycles *= _SHORT_STAGE_LOSS
  if config.mma_groups == 1:
    cycles *= _SHORT_ROUND_LOSS
  if config.num_math_warpgroups * config.ctas_per_sm == 1:
    cycles *= _ALONE_LOSS
  elif config.num_math_warpgroups == 1:
    cycles *= _APART_LOSS
  return cycles


def decoding_seconds(
  problem: MGroupedFp8Fp4GemmProblem,
  config: Sm90Fp8Fp4GemmConfig,
  device: Device,
) -> float:
  """Returns what decoding takes at least in the kernel for many rows."""
  block_m = config.block_m * config.cluster_m
  block_n = config.block_n * config.cluster_n
  tiles = _tiles_of_group(problem.expected_m, block_m) * problem.num_groups
  tiles *= -(-problem.n // block_n)
  rounds = max(1.0, tiles / (device.num_sms // config.cluster_size))
  block = _BLOCK_CYCLES + _CODES_CYCLES * config.block_n / 128
  return _FIXED_SECONDS + rounds * problem.num_k_blocks * block / CLOCK


def _tiles_of_group(expected_m: int, block_m: int) -> float:
  """Returns the tiles along M of a group, in the mean."""
  deviation = max(expected_m**0.5, _LEAST_DEVIATION * expected_m)
  sizes = [
    max(1, round(expected_m + deviation * share)) for share in _DEVIATIONS
  ]
  return sum(-(-size // block_m) for size in sizes) / len(sizes)
