"""Configurations of the Hopper FP8 GEMM with FP4 weights, for few rows."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  BLOCK_K,
  Fp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.swapped_choice import (
  tiles,
  with_products,
  with_stages,
)
from jax_deepgemm.heuristics.swapped_tile import SwappedTile

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
  configs = (
    Sm90Fp8Fp4GemmSwappedConfig(
      **tile,
      mma_k_blocks=0,
      prefetch_weights=prefetch_weights,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    for tile in tiles(problem.m, _BLOCK_MS, (1, 2, 4))
  )
  legal = with_products(configs, _registers)
  return with_stages(legal, problem, device, BLOCK_K)


def _registers(config: Sm90Fp8Fp4GemmSwappedConfig, count: int) -> int:
  """Returns what a thread needs with `count` products in flight.

  The limits come from trying: the kernel must compile without spills.
  """
  sums = config.block_m // 2
  exponents = 8 * config.stage_k_blocks  # With what follows from them.
  needed = sums * (1 + count) + count * _ROW_REGISTERS + exponents
  return needed + config.block_m // 4 + _OTHER_REGISTERS


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
