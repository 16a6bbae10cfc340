"""Configurations of the Hopper FP8 GEMM with swapped operands, for few rows."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.swapped_choice import (
  tiles,
  with_products,
  with_stages,
)
from jax_deepgemm.heuristics.swapped_tile import SwappedTile

_BLOCK_MS = (8, 16, 24, 32, 48, 64, 96, 128)  # wgmma's N.
# A thread's addresses, scales and counters, beside sums and products.
_OTHER_REGISTERS = 38
_EARLY_SCALES = 32  # RoundScales::kEarly in cuda/.../sm90_fp8_gemm_swapped.cuh.


@dataclasses.dataclass(frozen=True)
class Sm90Fp8GemmSwappedConfig(SwappedTile):
  """Mirrors the struct in cuda/kernels/sm90_fp8_gemm_swapped_types.cuh."""

  block_m: int
  num_math_warpgroups: int
  num_stages: int
  stage_k_blocks: int
  mma_k_blocks: int
  num_splits: int
  ctas_per_sm: int
  prefetch_weights: bool
  evict_first: bool
  sfb_per_row: bool
  float32_out: bool
  with_c: bool

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline, its two barriers included."""
    blocks = self.stage_k_blocks
    operands = blocks * (self.block_m + self.block_n) * BLOCK_K
    sfa = _align(blocks * self.block_m * 4, 128)
    sfb = blocks * (self.block_n if self.sfb_per_row else 2) * 4
    return _align(operands + sfa + sfb + 16, 1024)

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * self.stage_bytes
    return _align(stages + self.exchange_bytes, 1024)


def legal_swapped_configs(
  problem: Fp8GemmProblem, device: Device, *, prefetch_weights: bool = False
) -> Iterator[Sm90Fp8GemmSwappedConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more rows than the kernel takes.
  """
  configs = (
    Sm90Fp8GemmSwappedConfig(
      **tile,
      mma_k_blocks=0,
      prefetch_weights=prefetch_weights,
      sfb_per_row=problem.sfb_per_row,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    for tile in tiles(problem.m, _BLOCK_MS, (1, 2, 4, 8))
  )
  legal = with_products(configs, _registers)
  return with_stages(legal, problem, device, BLOCK_K)


def _registers(config: Sm90Fp8GemmSwappedConfig, count: int) -> int:
  """Returns what a thread needs with `count` products in flight.

  The limits come from trying: the kernel must compile without spills.
  """
  sums = config.block_m // 2
  needed = sums * (1 + count) + config.stage_k_blocks + _OTHER_REGISTERS
  if config.block_m <= _EARLY_SCALES:
    needed += count * config.block_m // 4
  return needed


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
