"""Configurations of the Hopper BF16 GEMM with swapped operands: few rows."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  ATOM_ROWS,
  BLOCK_K,
  LINE_BYTES,
  Bf16GemmProblem,
)
from jax_deepgemm.heuristics.swapped_choice import (
  tiles,
  with_stages,
)
from jax_deepgemm.heuristics.swapped_tile import SwappedTile

# wgmma's N.
_BLOCK_MS = (8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256)
_OTHER_REGISTERS = 30  # A thread's addresses and counters, beside sums.
_BARRIER_BYTES = 16  # Two barriers for a stage, behind all stages.
_MAX_BOX_LINES = 256  # Lines of a box of TMA.


@dataclasses.dataclass(frozen=True)
class Sm90Bf16GemmSwappedConfig(SwappedTile):
  """Mirrors the struct in cuda/kernels/sm90_bf16_gemm_swapped_types.cuh."""

  block_m: int
  num_math_warpgroups: int
  num_stages: int
  stage_k_blocks: int
  num_splits: int
  ctas_per_sm: int
  prefetch_weights: bool
  evict_first: bool
  a_mn_major: bool
  b_mn_major: bool
  float32_out: bool
  with_c: bool

  @property
  def a_rows(self) -> int:
    """Rows of A that a stage has room for."""
    if not self.a_mn_major:
      return self.block_m
    return _align(self.block_m, ATOM_ROWS)

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline."""
    rows = self.a_rows + self.block_n
    return self.stage_k_blocks * rows * LINE_BYTES

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * (self.stage_bytes + _BARRIER_BYTES)
    return _align(stages + self.exchange_bytes, 1024)


def legal_swapped_configs(
  problem: Bf16GemmProblem, device: Device, *, prefetch_weights: bool = False
) -> Iterator[Sm90Bf16GemmSwappedConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more rows than the kernel takes.
  """
  configs = (
    Sm90Bf16GemmSwappedConfig(
      **tile,
      prefetch_weights=prefetch_weights,
      a_mn_major=problem.a_mn_major,
      b_mn_major=problem.b_mn_major,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    for tile in tiles(problem.m, _BLOCK_MS, (1, 2, 4, 8))
  )
  legal = filter(_fits_kernel, configs)
  return with_stages(legal, problem, device, BLOCK_K, _BARRIER_BYTES)


def _fits_kernel(config: Sm90Bf16GemmSwappedConfig) -> bool:
  """Whether the kernel has this form, without spills, which were tried."""
  lines = config.stage_k_blocks * BLOCK_K
  if config.b_mn_major and lines > _MAX_BOX_LINES:
    return False
  return config.block_m // 2 + _OTHER_REGISTERS <= config.max_registers


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
