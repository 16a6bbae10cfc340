"""Estimated run time of a GEMM with swapped operands.

Time goes into reading B. CTAs that are there at one time read at the memory's
rate if enough of their bytes are on the way, however many multiprocessors they
lie on: what counts is that all of them have equally much to read. The constants
are measurements of single things on an H200. A block of K is a line of 128
bytes of each row, and takes the tensor cores the same time, for every operand.
"""

import dataclasses
from typing import Any

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.swapped_tile import (
  SwappedTile,
  cta_stages,
  num_ctas,
)

_LINE_BYTES = 128
_CLOCK = 1.755e9
_LAUNCH_SECONDS = 2.4e-6  # Of a kernel that does nothing.
_FIRST_BYTES_SECONDS = 0.9e-6  # Maps, and memory when it is idle.
_STORE_SECONDS = 0.4e-6  # The last sums to global memory.
_EXCHANGE_SECONDS = 0.5e-6  # Sums to other CTAs, and waiting for theirs.
_EXCHANGE_BYTES_PER_CYCLE = 32  # Sent or received by one CTA.
# The latency of loaded memory: as many bytes are on the way where it is
# saturated. An H200's 4.3 TB/s take 48 KB on each of 132 multiprocessors.
_LOADED_LATENCY = 6.3e6 / 4.3e12
# Share of the bandwidth that reads of so many bytes in a row get. Not measured:
# pages of the memory are 1 KB.
_RUN_SHARE = {64: 0.8, 128: 0.9, 256: 0.94, 512: 0.98, 1024: 1.0}
_INGEST_BYTES_PER_CYCLE = 60  # Data that one multiprocessor can take in.
_LOAD_CYCLES = 180  # Between two boxes that one thread asks for.
_FEW_TOKENS = 16
# CTAs of a cluster are within one GPC, and some multiprocessors remain.
_CLUSTER_SHARE = {1: 1.0, 2: 1.0, 4: 0.91, 8: 0.85}


@dataclasses.dataclass(frozen=True)
class StageTimes:
  """In what kernels differ.

  Attributes:
    cycles: that a warpgroup needs for a stage if nothing holds it up.
    num_boxes: that one thread asks for, for a stage.
    run_bytes: of B that are read in a row.
    tokens_that_double: rows beyond a few that double the time of all else.
    weight_bytes: of a row of B in a block of K.
    issue_cycles: that a warpgroup's warps take from those of others, a stage.
    two_stage_loss: share that a ring of two stages adds where it goes round.
  """

  cycles: float
  num_boxes: int
  run_bytes: int
  tokens_that_double: int
  weight_bytes: int = _LINE_BYTES
  issue_cycles: float = 0.0
  two_stage_loss: float = 0.0


def estimate_seconds(
  problem: Any, config: SwappedTile, device: Device, stage: StageTimes
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  ctas = num_ctas(problem, config)
  slots = resident_ctas(config, device)
  waves = -(-ctas // slots)
  present = -(-ctas // waves)
  stages = cta_stages(problem, config)
  wave = max(
    read_seconds(config, device, stage, present, stages),
    multiply_seconds(config, device, stage, present, stages),
  )
  if stages > config.num_stages == 2:
    wave *= 1 + stage.two_stage_loss
  # CTAs that share a multiprocessor hide most of what is between two of them.
  between = (waves - 1) * _FIRST_BYTES_SECONDS / config.ctas_per_sm
  exposed = stage.cycles / _CLOCK  # The last stage has been read.
  fixed = _LAUNCH_SECONDS + _FIRST_BYTES_SECONDS + _STORE_SECONDS
  seconds = waves * wave + between + exposed + _exchange_seconds(config)
  many = max(0, config.block_m - _FEW_TOKENS) / stage.tokens_that_double
  return (fixed + seconds) * (1 + many)


def resident_ctas(config: SwappedTile, device: Device) -> int:
  """Returns how many CTAs the device holds at one time, at least a cluster."""
  share = _CLUSTER_SHARE[config.num_splits]
  clusters = device.num_sms * config.ctas_per_sm * share / config.num_splits
  return max(1, int(clusters)) * config.num_splits


def mma_cycles(config: SwappedTile) -> float:
  """Cycles of the tensor cores for a warpgroup's part of one stage."""
  # Instructions with few columns wait for their rows from shared memory.
  return config.stage_k_blocks * 4 * max(16, config.block_m / 2)


def read_seconds(
  config: SwappedTile,
  device: Device,
  stage: StageTimes,
  present: int,
  stages: int,
  from_memory: float = 1.0,
) -> float:
  """Returns what reading takes where `present` CTAs are there at one time.

  Args:
    config: how.
    device: on what.
    stage: what a stage is.
    present: CTAs.
    stages: of each.
    from_memory: share of B that L2 does not have.
  """
  weights = config.stage_k_blocks * config.block_n * stage.weight_bytes
  tokens = config.stage_k_blocks * config.block_m * _LINE_BYTES
  in_flight = present * min(config.num_stages, stages) * weights
  share = _RUN_SHARE[stage.run_bytes]
  needed = _LOADED_LATENCY * device.memory_bandwidth
  share *= min(1, in_flight / needed)
  bandwidth = share * device.memory_bandwidth
  memory = from_memory * present * stages * weights / bandwidth
  on_one_sm = -(-present // device.num_sms)
  ingest = on_one_sm * stages * (weights + tokens) / _INGEST_BYTES_PER_CYCLE
  ask = stage.num_boxes * stages * _LOAD_CYCLES
  return max(memory, ingest / _CLOCK, ask / _CLOCK)


def multiply_seconds(
  config: SwappedTile,
  device: Device,
  stage: StageTimes,
  present: int,
  stages: int,
) -> float:
  """Returns what multiplying takes; arguments are those of `read_seconds`."""
  on_one_sm = -(-present // device.num_sms)
  warpgroups = on_one_sm * config.num_math_warpgroups
  tensor_cores = warpgroups * stages * mma_cycles(config)
  issue = warpgroups * stages * stage.issue_cycles
  return max(tensor_cores, issue, stages * stage.cycles) / _CLOCK


def _exchange_seconds(config: SwappedTile) -> float:
  if config.num_splits == 1:
    return 0.0
  sent = config.block_m * config.block_n * 4
  return _EXCHANGE_SECONDS + sent / _EXCHANGE_BYTES_PER_CYCLE / _CLOCK
