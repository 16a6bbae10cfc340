"""Estimated run time of an FP8 GEMM for few tiles.

The constants are fitted to the forms that come within 12 % of the fastest of
their shape, of 10 shapes with 65 to 512 rows, on an H200. The form with the
least estimate is 0.9 % slower than the fastest in the mean and 4 % at most;
estimates are off by 6 % in the mean.
"""

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import (
  Sm90Fp8GemmSplitConfig,
  num_split_ctas,
)

_CLOCK = 1.755e9
_FIXED_SECONDS = 3.56e-6  # Launch, first and last bytes.
_EXCHANGE_SECONDS = 0.06e-6  # Waiting for the sums of other CTAs,
_EXCHANGE_BYTES_PER_CYCLE = 17  # beside what is sent.
_STORE_BYTES_PER_CYCLE = 12  # Of one multiprocessor, to D.
# Share of the bandwidth that reads of so many blocks of K in a row get.
_RUN_SHARE = {1: 0.9, 2: 0.94, 4: 0.98}
_INGEST_BYTES_PER_CYCLE = 123  # Data that one multiprocessor can take in.
# Of a load while memory is busy. A stage is on its way while the others, but
# for the one that is multiplied, are.
_LATENCY_CYCLES = 2500
_MULTIPLIED_STAGES = 0.45
_ROUND_CYCLES = 232  # Barriers, and the latency of products in flight.
_PROMOTION_CYCLES = 1.03  # Of a column, while nothing multiplies.
# Of a column of a warpgroup's product and its promotion, where several
# warpgroups share a multiprocessor.
_COLUMN_CYCLES = 3.3
# Of what loads take, beside what takes longest.
_LOAD_LOSS = 0.044


def estimate_split_seconds(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSplitConfig, device: Device
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  stages = -(-stages // config.num_splits)
  on_one_sm = -(-num_split_ctas(problem, config) // device.num_sms)
  compute = stages * _stage_cycles(config, stages, on_one_sm) / _CLOCK
  share = _RUN_SHARE[config.stage_k_blocks]
  memory = _bytes(problem) / (share * device.memory_bandwidth)
  stored = on_one_sm * config.block_m * config.block_n * problem.out_bytes
  store = stored / config.num_splits / _STORE_BYTES_PER_CYCLE / _CLOCK
  last = store + _exchange_seconds(config)
  return _FIXED_SECONDS + max(compute, memory) + last


def _stage_cycles(
  config: Sm90Fp8GemmSplitConfig, stages: int, on_one_sm: int
) -> float:
  """Cycles between two stages of a CTA that has `stages` of them."""
  blocks, columns = config.stage_k_blocks, config.block_n
  rounds = blocks // config.mma_k_blocks
  exposed = rounds * (_ROUND_CYCLES + _PROMOTION_CYCLES * columns)
  warpgroups = on_one_sm * config.num_math_warpgroups
  operands = blocks * (config.block_m + columns) * BLOCK_K
  ingest = on_one_sm * operands / _INGEST_BYTES_PER_CYCLE
  on_the_way = min(config.num_stages, stages) - _MULTIPLIED_STAGES
  latency = _LATENCY_CYCLES / on_the_way
  longest = max(
    2 * blocks * columns + exposed,
    warpgroups * blocks * columns * _COLUMN_CYCLES,
    ingest,
    latency,
  )
  return longest + _LOAD_LOSS * (ingest + latency)


def _bytes(problem: Fp8GemmProblem) -> int:
  output = problem.m * problem.n * problem.out_bytes
  output *= 2 if problem.with_c else 1
  operands = (problem.m + problem.n) * problem.k
  return problem.num_groups * (operands + output)


def _exchange_seconds(config: Sm90Fp8GemmSplitConfig) -> float:
  if config.num_splits == 1:
    return 0.0
  sent = config.block_m * config.block_n * 4
  return _EXCHANGE_SECONDS + sent / _EXCHANGE_BYTES_PER_CYCLE / _CLOCK
