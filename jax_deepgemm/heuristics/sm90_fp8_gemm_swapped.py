"""Configurations of the Hopper FP8 GEMM with swapped operands, for few rows."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem

_BLOCK_MS = (8, 16, 24, 32, 48, 64, 96, 128)  # wgmma's N.
_NUM_SPLITS = (1, 2, 4, 8)  # A cluster of 8 CTAs fits every Hopper GPU.
_RESERVED_SMEM = 1024  # Bytes of shared memory that the system takes per CTA.
_REGISTERS = 16384  # Of a quarter of a multiprocessor, which has whole warps.
# A thread's addresses, scales and counters, beside sums and products.
_OTHER_REGISTERS = 38
_EARLY_SCALES = 32  # RoundScales::kEarly in cuda/.../sm90_fp8_gemm_swapped.cuh.


@dataclasses.dataclass(frozen=True)
class Sm90Fp8GemmSwappedConfig:
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
  def block_n(self) -> int:
    """Columns of D that a cluster computes."""
    return self.num_math_warpgroups * 64

  @property
  def cluster_size(self) -> int:
    """CTAs that share out K."""
    return self.num_splits

  @property
  def num_threads(self) -> int:
    """Threads of a CTA, the warp that loads included."""
    return self.num_math_warpgroups * 128 + 32

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline, its two barriers included."""
    blocks = self.stage_k_blocks
    operands = blocks * (self.block_m + self.block_n) * BLOCK_K
    sfa = _align(blocks * self.block_m * 4, 128)
    sfb = blocks * (self.block_n if self.sfb_per_row else 2) * 4
    return _align(operands + sfa + sfb + 16, 1024)

  @property
  def exchange_bytes(self) -> int:
    """Bytes for sums of other splits, for transposing, and a barrier."""
    warps = self.num_math_warpgroups * 4
    fragments = self.block_m // 8 * warps
    received = 1
    if self.num_splits > 1:
      received = self.num_splits * -(-fragments // self.num_splits)
    return received * 512 + warps * 8 * 20 * 4 + 8

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * self.stage_bytes
    return _align(stages + self.exchange_bytes, 1024)


def num_tiles_n(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig
) -> int:
  """Returns how many clusters share out the columns of D."""
  return -(-problem.n // config.block_n)


def num_ctas(problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig) -> int:
  """Returns the CTAs of the launch."""
  tiles = num_tiles_n(problem, config) * problem.num_groups
  return tiles * config.num_splits


def cta_stages(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig
) -> int:
  """Returns the stages that the CTA with the most of them multiplies."""
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  return -(-stages // config.num_splits)


def legal_swapped_configs(
  problem: Fp8GemmProblem, device: Device, *, prefetch_weights: bool = False
) -> Iterator[Sm90Fp8GemmSwappedConfig]:
  """Returns every configuration that computes `problem` on `device`.

  None if the problem has more rows than the kernel takes.
  """
  if problem.m > _BLOCK_MS[-1]:
    return
  shapes = itertools.product(
    (1, 2),  # num_math_warpgroups.
    (1, 2, 4, 8),  # stage_k_blocks.
    _NUM_SPLITS,
    (1, 2, 3, 4),  # ctas_per_sm.
    (True, False),  # evict_first.
  )
  for shape in shapes:
    warpgroups, stage_k_blocks, num_splits, ctas_per_sm, evict_first = shape
    config = Sm90Fp8GemmSwappedConfig(
      block_m=min(size for size in _BLOCK_MS if size >= problem.m),
      num_math_warpgroups=warpgroups,
      num_stages=0,
      stage_k_blocks=stage_k_blocks,
      mma_k_blocks=0,
      num_splits=num_splits,
      ctas_per_sm=ctas_per_sm,
      prefetch_weights=prefetch_weights,
      evict_first=evict_first,
      sfb_per_row=problem.sfb_per_row,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    mma_k_blocks = _mma_k_blocks(config)
    if mma_k_blocks == 0 or not _shares_out(problem, config):
      continue
    if num_splits > device.num_sms:
      continue
    room = (device.smem_bytes + _RESERVED_SMEM) // ctas_per_sm
    free = room - _RESERVED_SMEM - config.exchange_bytes
    # As many as there is work for: what is not allocated another CTA can have.
    num_stages = min(free // config.stage_bytes, cta_stages(problem, config))
    if num_stages < min(2, cta_stages(problem, config)):
      continue
    config = dataclasses.replace(
      config, num_stages=num_stages, mma_k_blocks=mma_k_blocks
    )
    if config.smem_bytes <= room - _RESERVED_SMEM:
      yield config


def _shares_out(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSwappedConfig
) -> bool:
  """Whether every CTA gets a stage, and stages are what TMA can load."""
  stages = -(-problem.num_k_blocks // config.stage_k_blocks)
  if stages < config.num_splits:
    return False
  whole_blocks = problem.k % BLOCK_K == 0
  return config.stage_k_blocks == 1 or (
    whole_blocks and problem.num_k_blocks >= config.stage_k_blocks
  )


def _mma_k_blocks(config: Sm90Fp8GemmSwappedConfig) -> int:
  """Returns how many products in flight registers allow, of a stage's; or 0.

  The limits come from trying: the kernel must compile without spills.
  """
  warps = -(-config.num_threads // 32 * config.ctas_per_sm // 4)
  limit = min(_REGISTERS // (32 * warps) // 8 * 8, 255)
  sums = config.block_m // 2
  for count in (4, 2, 1):
    needed = sums * (1 + count) + config.stage_k_blocks + _OTHER_REGISTERS
    if config.block_m <= _EARLY_SCALES:
      needed += count * config.block_m // 4
    if config.stage_k_blocks % count == 0 and needed <= limit:
      return count
  return 0


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
