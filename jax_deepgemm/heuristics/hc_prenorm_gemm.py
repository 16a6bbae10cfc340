"""Which configuration computes a product with sums of squares.

Reading A is the floor. Few rows have few tiles: then what one multiprocessor
can load in the time is, and K is shared out to more of them, in clusters.
"""

import math

from jax_deepgemm.heuristics.choice import of_block_sizes
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_hc_prenorm_gemm import (
  HcPrenormProblem,
  Sm90HcPrenormGemmConfig,
  legal_configs,
  num_clusters,
  num_tiles,
)

# Into one multiprocessor: 36 bytes a clock of 1.98 GHz, lines of its own.
_SM_BANDWIDTH = 71e9
_LATENCY = 1.0e-6  # From a load to its data; 0.65 if memory is idle.
_START = 2.3e-6  # An empty launch.
_WAVE = 1.3e-6  # The first data of a CTA and its last sums.
_EXCHANGE = 0.5e-6  # Waiting for a cluster, and reading its sums.
_PER_SPLIT = 0.05e-6
_STAGE = 0.15e-6  # A stage's wait, split of B and product, one after the other.
_STAGE_BLOCK = 0.07e-6
# The share of the multiprocessors that clusters of a size reach: all of one is
# within one part of the GPU, and parts have 14, 16 or 18. 64 clusters of four
# did not fit at once with two CTAs to a multiprocessor.
_REACHED = {1: 1.0, 2: 1.0, 4: 0.85, 8: 0.8, 16: 0.8}
# Multiprocessors may get two CTAs while others have none, unless most have two.
_UNEVENNESS = 1.2
# For all sizes of m, to keep one order of summation; fit for large m.
_BATCH_INVARIANT_SPLITS = 4


def choose(
  problem: HcPrenormProblem,
  device: Device,
  *,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  batch_invariant: bool = False,
) -> Sm90HcPrenormGemmConfig:
  """Returns the cheapest legal configuration of `problem`.

  A pure function: the same in every process of a job.

  Args:
    problem: what to compute.
    device: what computes it.
    block_size_multiple_of: what tiles in m and n must be multiples of.
    batch_invariant: sum over k in an order that does not depend on m.

  Raises:
    ValueError: no tile is such a multiple.
  """
  legal = (
    config
    for config in legal_configs(problem, device)
    if not batch_invariant or _is_batch_invariant(config)
  )
  configs = of_block_sizes(legal, block_size_multiple_of, problem, device)
  return min(configs, key=lambda c: estimate_seconds(problem, c, device))


def _is_batch_invariant(config: Sm90HcPrenormGemmConfig) -> bool:
  """Returns whether it sums in the one order that is for all sizes of m."""
  return config.num_splits == _BATCH_INVARIANT_SPLITS and config.num_teams == 1


def estimate_seconds(
  problem: HcPrenormProblem, config: Sm90HcPrenormGemmConfig, device: Device
) -> float:
  """Returns the estimated time: waves of CTAs, each bound by what it loads."""
  ctas = num_clusters(problem, config) * config.num_splits
  sms = device.num_sms * _REACHED[config.num_splits]
  fit = max(int(sms * config.ctas_per_sm), config.num_splits)
  full_waves, rest = divmod(ctas, fit)

  def wave(count: int) -> float:
    return _wave_seconds(problem, config, device, count, sms) + _WAVE

  seconds = full_waves * wave(fit) + (wave(rest) if rest else 0) + _START
  if config.num_splits > 1:
    seconds += _EXCHANGE + _PER_SPLIT * config.num_splits
  return seconds


def _wave_seconds(
  problem: HcPrenormProblem,
  config: Sm90HcPrenormGemmConfig,
  device: Device,
  ctas: int,
  sms: float,
) -> float:
  """Returns the time in which `ctas` CTAs load and multiply their K blocks."""
  parts = problem.num_partials * config.num_splits
  blocks = -(-problem.num_k_blocks // parts)
  stages = -(-blocks // config.stage_k_blocks)
  rows = min(config.block_m, problem.m)
  # Rows beyond the operands are not read.
  loaded = blocks * (rows * 128 + min(config.block_n, problem.n) * 256)
  from_memory = ctas * blocks * rows * 128 / num_tiles(problem, config)[1]
  on_an_sm = min(math.ceil(_UNEVENNESS * ctas / sms), config.ctas_per_sm)
  # While the last stage is multiplied.
  in_flight = max(config.num_stages - 1, 1) * config.stage_bytes
  rate = min(_SM_BANDWIDTH / on_an_sm, in_flight / _LATENCY)
  # Teams hide each other's waits.
  wait = _STAGE / config.num_teams
  work = stages * (wait + _STAGE_BLOCK * config.stage_k_blocks)
  limits = (from_memory / device.memory_bandwidth, loaded / rate, work)
  # None hides the others entirely, least of all one that is as long.
  return sum(x**4 for x in limits) ** 0.25
