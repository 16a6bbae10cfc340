"""Estimated run time of a GEMM of groups of rows, whatever its operands' type.

The constants are fitted to measurements of the FP8 kernel on an H200, see
docs/performance.md.
"""

from collections.abc import Callable
from typing import Any

from jax_deepgemm.heuristics.device import Device

_SLAB_ROWS = 64  # What one wgmma multiplies; a slab without rows is left out.
# Groups are never all as large as expected: sizes that stand for them. So many
# that one row more moves few of them past the end of a tile.
_SPREAD = tuple(0.6 + 0.025 * i for i in range(25))
_LAUNCH_SECONDS = 7e-6  # The table of groups and the last, partial wave too.
_PARTIAL_WAVE = 0.35
_BANDWIDTH_SHARE = 0.94
_OVERLAP_LOSS = 0.12  # Of the shorter of computing and moving data.
# A tile of few rows loads all of its columns of B, from memory if the group has
# no other tile, so that it does not take less in proportion.
_LEAST_TILE = 0.9
_ONE_TILE_GAIN = 0.88  # Where hardly a group has two: B is read once.
_HARDLY_TWO, _OFTEN_TWO = 1.15, 1.45  # Tiles of a group, in the mean.


def estimate_seconds(
  problem: Any,
  config: Any,
  device: Device,
  *,
  tiles_n: int,
  tile_seconds: Callable[[float], float],
  operand_bytes: int,
) -> float:
  """Returns the estimated run time of `config` on `device`.

  Args:
    problem: what is computed.
    config: how.
    device: on what.
    tiles_n: tiles along N, counted in clusters.
    tile_seconds: what a tile takes, by the share of its rows that is
      multiplied.
    operand_bytes: of an element of A or B.
  """
  clusters = device.num_sms // config.cluster_size
  tiles, seconds = _tiles_and_seconds(problem, config, tile_seconds)
  waves = tiles * tiles_n * problem.num_groups / clusters
  waves = max(waves, 1.0) + _PARTIAL_WAVE
  compute = waves * seconds / tiles * _gain(tiles)
  moved = _bytes(problem, operand_bytes)
  memory = moved / (_BANDWIDTH_SHARE * device.memory_bandwidth)
  shorter, longer = sorted((compute, memory))
  return longer + _OVERLAP_LOSS * shorter + _LAUNCH_SECONDS


def _gain(tiles: float) -> float:
  """Returns the factor on what tiles take, by tiles of a group along M."""
  share = (tiles - _HARDLY_TWO) / (_OFTEN_TWO - _HARDLY_TWO)
  return _ONE_TILE_GAIN + (1 - _ONE_TILE_GAIN) * min(max(share, 0), 1)


def _bytes(problem: Any, operand_bytes: int) -> int:
  rows = problem.expected_m
  moved = (rows + problem.n) * problem.k * operand_bytes
  moved += rows * problem.n * problem.out_bytes
  return problem.num_groups * moved


def _tiles_and_seconds(
  problem: Any, config: Any, tile_seconds: Callable[[float], float]
) -> tuple[float, float]:
  """Returns what a group has along M: tiles, and the time of all of them."""
  block_rows = config.block_m * config.cluster_m
  whole = tile_seconds(1.0)
  part_seconds: dict[int, float] = {}  # Of a tile, by its rows.
  num_tiles_m = seconds = 0.0
  for spread in _SPREAD:
    size = max(1, round(problem.expected_m * spread))
    full, rest = divmod(size, block_rows)
    num_tiles_m += full + (rest > 0)
    seconds += full * whole
    if rest:
      # Of the CTA of a cluster that has most of them.
      live = -(-min(rest, config.block_m) // _SLAB_ROWS) * _SLAB_ROWS
      if live not in part_seconds:
        part = tile_seconds(live / config.block_m)
        part_seconds[live] = max(part, _LEAST_TILE * whole)
      seconds += part_seconds[live]
  return num_tiles_m / len(_SPREAD), seconds / len(_SPREAD)
