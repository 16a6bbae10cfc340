"""Estimated run time of an FP8 GEMM of groups of rows.

The constants are fitted to measurements on an H200, see docs/performance.md.
"""

from jax_deepgemm.heuristics import m_grouped_cost
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import CLOCK, tile_cycles
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import Sm90Fp8GemmConfig, num_tiles

_SHARED_A_GAIN = 0.985  # Clusters along N never have a half without rows.
_WIDE_LOSS = 1.025
_TWO_BLOCKS_LOSS = 1.06


def estimate_grouped_seconds(
  problem: MGroupedFp8GemmProblem, config: Sm90Fp8GemmConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  expected = problem.expected
  loss = _measured_loss(config)

  def tile_seconds(live_rows: float) -> float:
    return tile_cycles(expected, config, live_rows=live_rows) / CLOCK * loss

  return m_grouped_cost.estimate_seconds(
    problem,
    config,
    device,
    tiles_n=num_tiles(expected, config)[1],
    tile_seconds=tile_seconds,
    operand_bytes=1,
  )


def _measured_loss(config: Sm90Fp8GemmConfig) -> float:
  """Returns by how much groups run longer than the dense kernel's model."""
  loss = _SHARED_A_GAIN if config.cluster_n > 1 else 1.0
  if config.rest_columns:
    loss *= _WIDE_LOSS
  if config.num_math_warpgroups == 2 and config.stage_k_blocks > 1:
    loss *= _TWO_BLOCKS_LOSS
  return loss
