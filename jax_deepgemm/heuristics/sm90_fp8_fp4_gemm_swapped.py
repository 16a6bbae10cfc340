"""Configurations of the Hopper FP8 GEMM with FP4 weights, for few rows."""

import dataclasses
from collections.abc import Iterable, Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  BLOCK_K,
  Fp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.swapped_choice import (
  tiles,
  with_stages,
)
from jax_deepgemm.heuristics.swapped_tile import SwappedTile

BLOCK_MS = (8, 16, 24, 32, 48, 64, 96, 128)  # wgmma's N.
CODE_BYTES = BLOCK_K // 2  # Of a row of B in a K block.
_ROUNDS = (4, 2, 1)  # Groups of 32 of K that are multiplied together.
_MOST_ROWS_OF_LONG_STAGES = 24
_EARLY_SCALES = 32  # kEarly in cuda/kernels/sm90_fp8_fp4_gemm_swapped.cuh.
# A thread's addresses and counters, beside sums, products, rows and exponents.
_OTHER_REGISTERS = 12


@dataclasses.dataclass(frozen=True)
class Sm90Fp8Fp4GemmSwappedConfig(SwappedTile):
  """Mirrors the struct in cuda/kernels/sm90_fp8_fp4_gemm_swapped_types.cuh."""

  block_m: int
  num_math_warpgroups: int
  num_stages: int
  stage_k_blocks: int
  mma_groups: int
  num_splits: int
  ctas_per_sm: int
  prefetch_weights: bool
  evict_first: bool
  float32_out: bool
  with_c: bool
  max_groups: int = 0  # Of rows of A and D; 0: A has as many groups as B.

  @property
  def num_threads(self) -> int:
    """Threads of a CTA, those that load and reorder A included."""
    token_warps = min(-(-self.block_m // 32), 3)
    return (self.num_math_warpgroups * 4 + 1 + token_warps) * 32

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline, its three barriers included."""
    weights = self.block_n * (CODE_BYTES + 4)
    row_bytes = self.block_m * (BLOCK_K + 4) + weights
    return _align(self.stage_k_blocks * row_bytes + 24, 1024)

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * self.stage_bytes
    return _align(stages + self.exchange_bytes, 1024)

  @property
  def exchange_bytes(self) -> int:
    """Bytes of what is no stage's: the table of groups, too."""
    table = 12 * self.max_groups + 4 if self.max_groups else 0
    return super().exchange_bytes + table


def legal_swapped_configs(
  problem: Fp8Fp4GemmProblem, device: Device, *, prefetch_weights: bool = False
) -> Iterator[Sm90Fp8Fp4GemmSwappedConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more rows than the kernel takes.
  """
  configs = (
    Sm90Fp8Fp4GemmSwappedConfig(
      **tile,
      mma_groups=0,
      prefetch_weights=prefetch_weights,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    for tile in tiles(problem.m, BLOCK_MS, (1, 2, 4))
  )
  return with_stages(with_rounds(configs), problem, device, BLOCK_K)


def with_rounds(
  configs: Iterable[Sm90Fp8Fp4GemmSwappedConfig],
) -> Iterator[Sm90Fp8Fp4GemmSwappedConfig]:
  """Returns those of `configs` that registers allow, with the largest round."""
  for config in configs:
    for count in _ROUNDS:
      if _may_unroll(config, count) and (
        _registers(config, count) <= config.max_registers
      ):
        yield dataclasses.replace(config, mma_groups=count)
        break


def _may_unroll(config: Sm90Fp8Fp4GemmSwappedConfig, count: int) -> bool:
  """Whether the loop's body, a stage, is no longer than ptxas can take.

  Four K blocks of 32 rows, or rounds of less than a fourth of a stage, spill.
  """
  if config.stage_k_blocks == 4 and config.block_m > _MOST_ROWS_OF_LONG_STAGES:
    return False
  return config.stage_k_blocks == 1 or config.stage_k_blocks <= count


def _registers(config: Sm90Fp8Fp4GemmSwappedConfig, count: int) -> int:
  """Returns what a thread needs with `count` groups of K in a round.

  The limits come from trying: the kernel must compile without spills.
  """
  sums = config.block_m // 2
  block_sums = sums if count < 4 else 0
  num_rounds = config.stage_k_blocks * 4 // count
  rows = 4 * count * min(2, num_rounds)
  columns = config.block_m // 4 if config.block_m <= _EARLY_SCALES else 0
  codes_and_exponents = 8 + 2 * config.stage_k_blocks
  needed = sums * (1 + count) + block_sums + rows + columns
  return needed + codes_and_exponents + _OTHER_REGISTERS


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
