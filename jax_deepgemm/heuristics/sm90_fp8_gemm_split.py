"""Configurations of the Hopper FP8 GEMM for few tiles."""

import dataclasses
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem
from jax_deepgemm.heuristics.swapped_choice import with_products, with_stages
from jax_deepgemm.heuristics.swapped_cost import resident_ctas
from jax_deepgemm.heuristics.swapped_tile import max_registers

_BLOCK_NS = (16, 32, 64, 128)  # Divisors of the columns that have one scale.
# Below, the kernel with swapped operands has tiles of as many rows as there
# are: with 1 and 16 rows it was faster for all of seven weights on an H200, by
# 2 to 22 %, with 32 for five of them.
_FEWEST_ROWS = 33
_NUM_SPLITS = (1, 2, 4, 8)  # A cluster of 8 CTAs fits every Hopper GPU.
_FRAGMENT_BYTES = 512  # Sums of a warp for 8 columns.
# A thread's addresses, scales and counters, beside sums and products.
_OTHER_REGISTERS = 38


@dataclasses.dataclass(frozen=True)
class Sm90Fp8GemmSplitConfig:
  """Mirrors the struct in cuda/kernels/sm90_fp8_gemm_split_types.cuh."""

  num_math_warpgroups: int
  block_n: int
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
  def block_m(self) -> int:
    """Rows of a tile."""
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
  def max_registers(self) -> int:
    """Registers that a thread can have."""
    return max_registers(self.num_threads, self.ctas_per_sm)

  @property
  def stage_bytes(self) -> int:
    """Bytes of one stage of the pipeline, its two barriers included."""
    block = (self.block_m + self.block_n) * BLOCK_K + self.block_m * 4
    return _align(self.stage_k_blocks * block + 16, 1024)

  @property
  def exchange_bytes(self) -> int:
    """Bytes for sums of the other splits, and a barrier."""
    own = -(-self.block_n // 8 // self.num_splits)  # Groups of 8 columns.
    others, warps = self.num_splits - 1, self.num_math_warpgroups * 4
    return max(1, others * warps * own) * _FRAGMENT_BYTES + 8

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    stages = self.num_stages * self.stage_bytes
    return _align(stages + self.exchange_bytes, 1024)


def legal_split_configs(
  problem: Fp8GemmProblem, device: Device, *, prefetch_weights: bool = False
) -> Iterator[Sm90Fp8GemmSplitConfig]:
  """Returns every configuration that computes `problem` on `device`.

  All of its CTAs have room at one time: D has few tiles. None if B has a scale
  for each row, or if A has few rows.
  """
  if problem.sfb_per_row or problem.m < _FEWEST_ROWS:
    return
  configs = (
    Sm90Fp8GemmSplitConfig(
      **form,
      prefetch_weights=prefetch_weights,
      float32_out=problem.float32_out,
      with_c=problem.with_c,
    )
    for form in _forms()
  )
  few = (c for c in configs if _is_useful(c, problem, device))
  legal = with_products(few, _registers)
  yield from with_stages(legal, problem, device, BLOCK_K)


def split_tiles(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSplitConfig
) -> tuple[int, int]:
  """Returns tiles along M and along N."""
  return -(-problem.m // config.block_m), -(-problem.n // config.block_n)


def num_split_ctas(
  problem: Fp8GemmProblem, config: Sm90Fp8GemmSplitConfig
) -> int:
  """Returns the CTAs of the launch."""
  tiles_m, tiles_n = split_tiles(problem, config)
  return tiles_m * tiles_n * problem.num_groups * config.num_splits


def _forms() -> Iterator[dict[str, int]]:
  """Returns the fields to try, still without stages."""
  names = (
    "num_math_warpgroups",
    "block_n",
    "stage_k_blocks",
    "num_splits",
    "ctas_per_sm",
    "evict_first",
  )
  sizes = ((1, 2), _BLOCK_NS, (1, 2, 4), _NUM_SPLITS, (1, 2), (True, False))
  for form in itertools.product(*sizes):
    yield {
      **dict(zip(names, form, strict=True)),
      "num_stages": 0,
      "mma_k_blocks": 0,
    }


def _is_useful(
  config: Sm90Fp8GemmSplitConfig, problem: Fp8GemmProblem, device: Device
) -> bool:
  """Whether all CTAs have room, and all warpgroups rows."""
  if config.num_math_warpgroups > 1 and problem.m <= 64:
    return False
  return num_split_ctas(problem, config) <= resident_ctas(config, device)


def _registers(config: Sm90Fp8GemmSplitConfig, count: int) -> int:
  """Returns what a thread needs with `count` products in flight.

  The limits come from trying: the kernel must compile without spills.
  """
  sums = config.block_n // 2
  return sums * (1 + count) + config.stage_k_blocks + _OTHER_REGISTERS


def _align(x: int, multiple: int) -> int:
  return -(-x // multiple) * multiple
