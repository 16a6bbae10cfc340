"""Estimated run time of an FP8 GEMM of groups of rows.

The constants are fitted to measurements on an H200, see docs/performance.md.
"""

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import CLOCK, tile_cycles
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import Sm90Fp8GemmConfig, num_tiles

_SLAB_ROWS = 64  # What one wgmma multiplies; a slab without rows is left out.
# Groups are never all as large as expected: sizes that stand for them.
_SPREAD = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
_LAUNCH_SECONDS = 7e-6  # The table of groups and the last, partial wave too.
_PARTIAL_WAVE = 0.35
_BANDWIDTH_SHARE = 0.94
_OVERLAP_LOSS = 0.12  # Of the shorter of computing and moving data.
_SHARED_A_GAIN = 0.985  # Clusters along N never have a half without rows.
# A tile of few rows loads all of its columns of B, from memory if the group has
# no other tile, so that it does not take less in proportion.
_LEAST_TILE = 0.9
_ONE_TILE_GAIN = 0.88  # Where hardly a group has two: B is read once.
_MOST_IN_ONE_TILE = 1.3
_WIDE_LOSS = 1.025
_TWO_BLOCKS_LOSS = 1.06


def estimate_grouped_seconds(
  problem: MGroupedFp8GemmProblem, config: Sm90Fp8GemmConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  _, tiles_n = num_tiles(problem.expected, config)
  clusters = device.num_sms // config.cluster_size
  tiles, cycles = _tiles_and_cycles(problem, config)
  waves = tiles * tiles_n * problem.num_groups / clusters
  waves = max(waves, 1.0) + _PARTIAL_WAVE
  compute = waves * cycles / tiles / CLOCK * _measured_loss(config)
  if tiles < _MOST_IN_ONE_TILE:
    compute *= _ONE_TILE_GAIN
  memory = _bytes(problem) / (_BANDWIDTH_SHARE * device.memory_bandwidth)
  shorter, longer = sorted((compute, memory))
  return longer + _OVERLAP_LOSS * shorter + _LAUNCH_SECONDS


def _bytes(problem: MGroupedFp8GemmProblem) -> int:
  rows = problem.expected_m
  moved = (rows + problem.n) * problem.k + rows * problem.n * problem.out_bytes
  return problem.num_groups * moved


def _tiles_and_cycles(
  problem: MGroupedFp8GemmProblem, config: Sm90Fp8GemmConfig
) -> tuple[float, float]:
  """Returns what a group has along M: tiles, and cycles for all of them."""
  block_rows = config.block_m * config.cluster_m
  whole = tile_cycles(problem.expected, config)
  num_tiles_m = num_cycles = 0.0
  for spread in _SPREAD:
    size = max(1, round(problem.expected_m * spread))
    full, rest = divmod(size, block_rows)
    num_tiles_m += full + (rest > 0)
    num_cycles += full * whole
    if rest:
      # Of the CTA of a cluster that has most of them.
      live = -(-min(rest, config.block_m) // _SLAB_ROWS) * _SLAB_ROWS
      share = live / config.block_m
      part = tile_cycles(problem.expected, config, live_rows=share)
      num_cycles += max(part, _LEAST_TILE * whole)
  return num_tiles_m / len(_SPREAD), num_cycles / len(_SPREAD)


def _measured_loss(config: Sm90Fp8GemmConfig) -> float:
  """Returns by how much groups run longer than the dense kernel's model."""
  loss = _SHARED_A_GAIN if config.cluster_n > 1 else 1.0
  if config.rest_columns:
    loss *= _WIDE_LOSS
  if config.num_math_warpgroups == 2 and config.stage_k_blocks > 1:
    loss *= _TWO_BLOCKS_LOSS
  return loss
