"""Estimated run time of a BF16 GEMM of groups of rows.

From the models of the dense BF16 kernel and of the FP8 kernel's groups; no
constant is fitted to this kernel.
"""

from jax_deepgemm.heuristics import m_grouped_cost
from jax_deepgemm.heuristics.bf16_gemm_cost import clock, tile_cycles
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_bf16_gemm_problem import (
  MGroupedBf16GemmProblem,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Sm90Bf16GemmConfig,
  num_tiles,
)

# Clusters along N never have a half without rows; measured of the FP8 kernel.
_SHARED_A_GAIN = 0.985


def estimate_grouped_seconds(
  problem: MGroupedBf16GemmProblem, config: Sm90Bf16GemmConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  expected = problem.expected
  loss = _SHARED_A_GAIN if config.cluster_n > 1 else 1.0
  hertz = clock(config)

  def tile_seconds(live_rows: float) -> float:
    return tile_cycles(expected, config, live_rows=live_rows) / hertz * loss

  return m_grouped_cost.estimate_seconds(
    problem,
    config,
    device,
    tiles_n=num_tiles(expected, config)[1],
    tile_seconds=tile_seconds,
    operand_bytes=2,
  )
