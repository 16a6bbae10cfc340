"""Configurations of the Hopper FP8 GEMM with FP4 weights, for few rows."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  BLOCK_K,
  Fp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.swapped_tile import (
  NUM_SPLITS,
  SwappedTile,
  shares_out,
  smem_of_cta,
  stages_that_fit,
)

_BLOCK_MS = (8, 16, 24, 32, 48, 64, 96, 128)  # wgmma's N.
CODE_BYTES = BLOCK_K // 2  # Of a row of B in a K block.
_TABLE_BYTES = 17 * 8  # Fp4MagnitudeTable in cuda/common/fp4_decode.cuh.
# A thread's addresses and counters, beside sums, products, rows and exponents.
_OTHER_REGISTERS = 50
_ROW_REGISTERS = 18  # Of a decoded block of K, and its two scales.


@dataclasses.dataclass(frozen=True)
class Sm90Fp8Fp4GemmSwappedConfig(SwappedTile):
  """Mirrors the struct in cuda/kernels/sm90_fp8_fp4_gemm_swapped_types.cuh."""

  block_m: int
  num_math_warpgroups: int
  num_stages: int
  stage_k_blocks: int
  mma_k_blocks: int
  num_splits: int
  ctas_per_sm: int
  prefetch_weights: bool
  evict_first: bool
  float32_out: bool
  with_c: bool

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline, its two barriers included."""
    row_bytes = self.block_m * (BLOCK_K + 4) + self.block_n * CODE_BYTES
    return _align(self.stage_k_blocks * row_bytes + 16, 1024)

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * self.stage_bytes
    return _align(stages + self.exchange_bytes + _TABLE_BYTES, 1024)


def legal_swapped_configs(
  problem: Fp8Fp4GemmProblem, device: Device, *, prefetch_weights: bool = False
) -> Iterator[Sm90Fp8Fp4GemmSwappedConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more rows than the kernel takes.
  """
  if problem.m > _BLOCK_MS[-1]:
    return
  shapes = itertools.product(
    (1, 2),  # num_math_warpgroups.
    (1, 2, 4),  # stage_k_blocks.
    NUM_SPLITS,
    (1, 2, 3, 4),  # ctas_per_sm.
    (True, False),  # evict_first.
  )
  for shape in shapes:
    warpgroups, stage_k_blocks, num_splits, ctas_per_sm, evict_first = shape
    config = Sm90Fp8Fp4GemmSwappedConfig(
      block_m=min(size for size in _BLOCK_MS if size >= problem.m),
      num_math_warpgroups=warpgroups,
      num_stages=0,
      stage_k_blocks=stage_k_blocks,
      mma_k_blocks=0,
      num_splits=num_splits,
      ctas_per_sm=ctas_per_sm,
      prefetch_weights=prefetch_weights,
      evict_first=evict_first,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    mma_k_blocks = _mma_k_blocks(config)
    if mma_k_blocks == 0 or not shares_out(problem, config, BLOCK_K):
      continue
    if num_splits > device.num_sms:
      continue
    num_stages = stages_that_fit(problem, config, device, config.stage_bytes)
    if num_stages == 0:
      continue
    config = dataclasses.replace(
      config, num_stages=num_stages, mma_k_blocks=mma_k_blocks
    )
    if config.smem_bytes <= smem_of_cta(device, config):
      yield config


def _mma_k_blocks(config: Sm90Fp8Fp4GemmSwappedConfig) -> int:
  """Returns how many products in flight registers allow, of a stage's; or 0.

  The limits come from trying: the kernel must compile without spills.
  """
  sums = config.block_m // 2
  exponents = 8 * config.stage_k_blocks  # With what follows from them.
  for count in (4, 2, 1):
    needed = sums * (1 + count) + count * _ROW_REGISTERS + exponents
    needed += config.block_m // 4 + _OTHER_REGISTERS
    fits = needed <= config.max_registers
    if config.stage_k_blocks % count == 0 and fits:
      return count
  return 0


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
