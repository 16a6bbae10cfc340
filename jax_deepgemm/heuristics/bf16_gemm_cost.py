"""Estimated run time of a BF16 GEMM configuration.

From arithmetic and from what an H200 was measured to do for other kernels; no
constant is fitted to this kernel.
"""

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  BLOCK_K,
  LINE_BYTES,
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  num_tiles,
)

_CLOCK = 1.45e9  # Of an H200 under full tensor load of BF16.
_LAUNCH_SECONDS = 3.7e-6  # Start, first loads and last stores.
# Between a tile's last product and the next's first: the tensor cores run dry,
# sums become results, the first stage is started.
_TILE_CYCLES = 150
_CYCLES_PER_SUM = 2.0  # Of each of a thread's registers of sums.
# Beside wgmma, by staging buffers of a warp; hidden if two stages are as long.
_STORE_BYTES_PER_CYCLE = {1: 25, 2: 45, 4: 46}
_C_CYCLES = 400  # Until C has arrived; hidden if the tile has more stages.
_INGEST_BYTES_PER_CYCLE = 74  # Data that one multiprocessor can take in.
_L2_BYTES_PER_CYCLE = 84  # Data that L2 sends, multicast counted once.
_STAGE_CYCLES = 250  # What a stage costs however little is in it,
_BARRIER_CYCLES = 2  # and on top of what is in it.
_LOAD_CYCLES = 1200  # From a stage's release until it is full again.
_BANDWIDTH_SHARE = 0.80  # Short kernels do not reach a copy's.
_OVERLAP_LOSS = 0.12  # Of the shorter of computing and moving data.
# Bytes that have to be under way on a multiprocessor for full bandwidth.
_BYTES_IN_FLIGHT = 48 * 1024
# CTAs of a cluster wait for the slower one's loads. With up to 256 rows forms
# with a pair took 1.04 to 1.2 times as long on an H200 as those without.
_FEW_ROWS = 256
_PAIR_LOSS = 0.08
# Power: what feeding costs of the clock, per byte a cycle that L2 sends.
_CLOCK_LOSS = 0.0015


def estimate_seconds(
  problem: Bf16GemmProblem, config: Sm90Bf16GemmConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  tiles_m, tiles_n = num_tiles(problem, config)
  clusters = device.num_sms // config.cluster_size
  num_clusters = tiles_m * tiles_n * problem.num_groups
  waves = -(-num_clusters // clusters)
  tile = tile_cycles(problem, config)
  # Nothing is multiplied while the last tile is stored.
  compute = (waves * tile + _store_cycles(config) / 2) / clock(config)
  busy = min(num_clusters, clusters) * config.cluster_size / device.num_sms
  bandwidth = _bandwidth(config, busy) * device.memory_bandwidth
  memory = _bytes(problem) / bandwidth
  shorter, longer = sorted((compute, memory))
  seconds = longer + _OVERLAP_LOSS * shorter
  if config.cluster_size > 1 and problem.m <= _FEW_ROWS:
    seconds *= 1 + _PAIR_LOSS
  return seconds + _LAUNCH_SECONDS


def clock(config: Sm90Bf16GemmConfig) -> float:
  """Returns the cycles a second that power allows."""
  return _CLOCK * (1 - _CLOCK_LOSS * _l2_rate(config))


def _bytes(problem: Bf16GemmProblem) -> int:
  output = problem.m * problem.n * problem.out_bytes
  output *= 2 if problem.with_c else 1
  operands = 2 * (problem.m + problem.n) * problem.k
  return problem.num_groups * (operands + output)


def _bandwidth(config: Sm90Bf16GemmConfig, busy: float) -> float:
  """Returns the share of the device's bandwidth that its CTAs can ask for."""
  in_flight = config.num_stages * config.stage_bytes
  return _BANDWIDTH_SHARE * min(1, busy * in_flight / _BYTES_IN_FLIGHT)


def tile_cycles(
  problem: Bf16GemmProblem,
  config: Sm90Bf16GemmConfig,
  *,
  live_rows: float = 1.0,
) -> float:
  """Returns the cycles that a multiprocessor takes for a tile.

  Args:
    problem: what is computed.
    config: how.
    live_rows: share of the tile's rows that is multiplied.
  """
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  stage = _stage_cycles(config, live_rows)
  sums = config.num_slabs * config.block_n / 2
  # Each of a multiprocessor's four parts has one warp of each warpgroup.
  switch = _TILE_CYCLES + _CYCLES_PER_SUM * sums * config.num_math_warpgroups
  store = live_rows * _store_cycles(config)
  exposed = max(0, store - min(stages, 2) * stage)
  if config.with_c:
    exposed += max(0, _C_CYCLES - max(0, stages - 2) * stage)
  return stages * stage + switch + exposed


def _store_cycles(config: Sm90Bf16GemmConfig) -> float:
  tile_bytes = config.block_m * config.block_n * config.out_bytes
  return tile_bytes / _STORE_BYTES_PER_CYCLE[config.num_store_slots]


def _stage_cycles(config: Sm90Bf16GemmConfig, live_rows: float) -> float:
  """Cycles between two stages of the main loop."""
  rows = live_rows * config.a_rows + config.block_n
  block = max(
    live_rows * _block_mma_cycles(config),
    rows * LINE_BYTES / _INGEST_BYTES_PER_CYCLE,
    _sent_bytes(config, live_rows) / _L2_BYTES_PER_CYCLE,
  )
  # Two stages are held by the tensor cores, the one that runs and the next.
  load = _LOAD_CYCLES / (config.num_stages - 2)
  stage = max(config.stage_k_blocks * block, load, _STAGE_CYCLES)
  return stage + _BARRIER_CYCLES


def _block_mma_cycles(config: Sm90Bf16GemmConfig) -> float:
  """Cycles of the tensor cores for a block of K."""
  return config.block_m * config.block_n * BLOCK_K / 2048


def _sent_bytes(config: Sm90Bf16GemmConfig, live_rows: float = 1.0) -> float:
  """Bytes that L2 sends for a block of K of a tile."""
  a_rows = live_rows * config.a_rows
  rows = a_rows / config.cluster_n + config.block_n / config.cluster_m
  return rows * LINE_BYTES


def _l2_rate(config: Sm90Bf16GemmConfig) -> float:
  """Bytes a cycle that L2 sends to a multiprocessor at full speed."""
  return _sent_bytes(config) / _block_mma_cycles(config)
