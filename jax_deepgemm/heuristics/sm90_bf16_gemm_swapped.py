"""Configurations of the Hopper BF16 GEMM with swapped operands: few rows."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  ATOM_ROWS,
  BLOCK_K,
  LINE_BYTES,
  Bf16GemmProblem,
)
from jax_deepgemm.heuristics.swapped_tile import (
  NUM_SPLITS,
  SwappedTile,
  shares_out,
  smem_of_cta,
  stages_that_fit,
)

# wgmma's N.
_BLOCK_MS = (8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256)
_OTHER_REGISTERS = 30  # A thread's addresses and counters, beside sums.
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
    stages = self.num_stages * (self.stage_bytes + 16)  # With two barriers.
    return _align(stages + self.exchange_bytes, 1024)


def legal_swapped_configs(
  problem: Bf16GemmProblem, device: Device, *, prefetch_weights: bool = False
) -> Iterator[Sm90Bf16GemmSwappedConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more rows than the kernel takes.
  """
  if problem.m > _BLOCK_MS[-1]:
    return
  shapes = itertools.product(
    (1, 2),  # num_math_warpgroups.
    (1, 2, 4, 8),  # stage_k_blocks.
    NUM_SPLITS,
    (1, 2, 3, 4),  # ctas_per_sm.
    (True, False),  # evict_first.
  )
  for shape in shapes:
    warpgroups, stage_k_blocks, num_splits, ctas_per_sm, evict_first = shape
    config = Sm90Bf16GemmSwappedConfig(
      block_m=min(size for size in _BLOCK_MS if size >= problem.m),
      num_math_warpgroups=warpgroups,
      num_stages=0,
      stage_k_blocks=stage_k_blocks,
      num_splits=num_splits,
      ctas_per_sm=ctas_per_sm,
      prefetch_weights=prefetch_weights,
      evict_first=evict_first,
      a_mn_major=problem.a_mn_major,
      b_mn_major=problem.b_mn_major,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    if num_splits > device.num_sms or not _fits_kernel(config):
      continue
    if not shares_out(problem, config, BLOCK_K):
      continue
    num_stages = stages_that_fit(
      problem, config, device, config.stage_bytes + 16
    )
    if num_stages == 0:
      continue
    config = dataclasses.replace(config, num_stages=num_stages)
    if config.smem_bytes <= smem_of_cta(device, config):
      yield config


def _fits_kernel(config: Sm90Bf16GemmSwappedConfig) -> bool:
  """Whether the kernel has this form, without spills, which were tried."""
  lines = config.stage_k_blocks * BLOCK_K
  if config.b_mn_major and lines > _MAX_BOX_LINES:
    return False
  return config.block_m // 2 + _OTHER_REGISTERS <= config.max_registers


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
