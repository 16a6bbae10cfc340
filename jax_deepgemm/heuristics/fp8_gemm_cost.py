"""Estimated run time of an FP8 GEMM configuration.

The constants are fitted to measurements on an H200. Of the configurations that
benchmarks/results/sweep_fp8.json has for each of 28 dense shapes, 12 to 42 of
them, the one with the least estimate is 1.3 % slower than the fastest in the
mean and 5.3 % at most; estimates are off by 4 % in the mean.
"""

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  num_tiles,
)

CLOCK = 1.55e9  # Of an H200 under full tensor load.
_LAUNCH_SECONDS = 3.7e-6  # Start, first loads and last stores.
_TILE_CYCLES = 220  # Between the last K block of a tile and the next's first.
_STORE_BYTES_PER_CYCLE = 66
_INGEST_BYTES_PER_CYCLE = 74  # Data that one multiprocessor can take in.
_L2_BYTES_PER_CYCLE = 84  # Data that L2 sends, multicast counted once.
_STAGE_CYCLES = 322  # What a stage costs however little is in it,
_BARRIER_CYCLES = 5  # and on top of what is in it.
# Smaller than a copy's 4.3 TB/s: short kernels do not reach it.
_BANDWIDTH_SHARE = 0.80
_OVERLAP_LOSS = 0.12  # Of the shorter of computing and moving data.


def estimate_seconds(
  problem: Fp8GemmProblem,
  config: Sm90Fp8GemmConfig,
  device: Device,
  *,
  weight_bytes: float = 1.0,
) -> float:
  """Returns the estimated run time of `config` on `device`.

  Args:
    problem: what is computed.
    config: how.
    device: what computes it.
    weight_bytes: bytes in memory of an element of B.
  """
  waves = num_waves(problem, config, device)
  compute = waves * tile_cycles(problem, config) / CLOCK
  bandwidth = _BANDWIDTH_SHARE * device.memory_bandwidth
  memory = _bytes(problem, weight_bytes) / bandwidth
  shorter, longer = sorted((compute, memory))
  return longer + _OVERLAP_LOSS * shorter + _LAUNCH_SECONDS


def num_waves(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmConfig, device: Device
) -> int:
  """Returns the tiles that the busiest multiprocessor computes."""
  tiles_m, tiles_n = num_tiles(problem, config)
  clusters = device.num_sms // config.cluster_size
  return -(-tiles_m * tiles_n * problem.num_groups // clusters)


def tile_cycles(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmConfig, *, live_rows: float = 1.0
) -> float:
  """Returns the cycles that a multiprocessor takes for a tile.

  Args:
    problem: what is computed.
    config: how.
    live_rows: share of the tile's rows that is multiplied.
  """
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  store = live_rows * _store_cycles(config)
  return _TILE_CYCLES + store + stages * _stage_cycles(config, live_rows)


def _bytes(problem: Fp8GemmProblem, weight_bytes: float) -> float:
  output = problem.m * problem.n * problem.out_bytes
  output *= 2 if problem.with_c else 1
  operands = (problem.m + problem.n * weight_bytes) * problem.k
  return problem.num_groups * (operands + output)


def _store_cycles(config: Sm90Fp8GemmConfig) -> float:
  tile_bytes = config.block_m * config.block_n * config.out_bytes
  return tile_bytes / _STORE_BYTES_PER_CYCLE


def _stage_cycles(config: Sm90Fp8GemmConfig, live_rows: float) -> float:
  """Cycles between two stages of the main loop."""
  a_rows = live_rows * config.a_rows
  ingest = a_rows + config.block_n
  sent = a_rows / config.cluster_n + config.block_n / config.cluster_m
  products = live_rows * config.block_m * config.block_n / 32
  block = max(
    products + _exposed_cycles(config),
    _serial_cycles(config),
    ingest * BLOCK_K / _INGEST_BYTES_PER_CYCLE,
    sent * BLOCK_K / _L2_BYTES_PER_CYCLE,
  )
  return max(config.stage_k_blocks * block, _STAGE_CYCLES) + _BARRIER_CYCLES


def _exposed_cycles(config: Sm90Fp8GemmConfig) -> float:
  """Cycles per K block in which promotion leaves the tensor cores idle."""
  if config.sfb_per_row:
    # The scales of columns come through shared memory, beside wgmma's operands.
    if config.num_slabs == 2:
      return 670
    return 400 if config.num_math_warpgroups == 3 else 370
  if config.num_slabs == 2:
    return 127
  if config.num_math_warpgroups == 3:
    return 74
  if config.num_math_warpgroups == 2:
    return 54 if config.stage_k_blocks > 1 else 87
  return 54


def _serial_cycles(config: Sm90Fp8GemmConfig) -> float:
  """Cycles that one warpgroup needs for a K block if nothing holds it up."""
  multiply, promote = 2 * config.block_n, config.block_n
  if config.stage_k_blocks > 1:  # The next block multiplies meanwhile.
    return multiply + promote
  return config.num_slabs * (multiply + promote + 150)
