"""Problems and configurations of the Hopper K-grouped BF16 GEMM."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.bf16_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.choice import of_block_sizes
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  BLOCK_K,
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
  num_tiles,
)
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  MAX_GROUPS,
  sum_of_parts_seconds,
)

# Room in a kernel's table of groups; one kernel serves all counts up to it.
_TABLE_SIZES = (64, 256, MAX_GROUPS)
_TABLE_BYTES_PER_GROUP = 16  # KGroupTable in cuda/common/.
_MAX_STAGES = 32  # With a barrier for each in the table.
_MAX_PARTS = 16


@dataclasses.dataclass(frozen=True)
class KGroupedBf16GemmProblem:
  """`num_groups` products `[k_g, m] x [k_g, n]` in float32.

  Attributes:
    k: rows that the groups have at most, all together.
    with_c: C is added to the product.
  """

  m: int
  n: int
  k: int
  num_groups: int
  with_c: bool = False


@dataclasses.dataclass(frozen=True)
class Sm90KGroupedBf16GemmConfig:
  """How the kernel computes a problem.

  Attributes:
    gemm: of a tile; `with_c` says that results are added to what D holds.
    max_groups: room in the table of groups.
    num_parts: parts of equal length that each group is cut into along K, which
      are products of their own and are summed afterwards.
  """

  gemm: Sm90Bf16GemmConfig
  max_groups: int
  num_parts: int

  @property
  def block_m(self) -> int:
    """Rows of a tile."""
    return self.gemm.block_m

  @property
  def block_n(self) -> int:
    """Columns of a tile."""
    return self.gemm.block_n

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    return self.gemm.smem_bytes + _table_bytes(self.max_groups)


def choose(
  problem: KGroupedBf16GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
) -> Sm90KGroupedBf16GemmConfig:
  """Returns the legal configuration with the least estimated time.

  How K is distributed over the groups is not known here. The estimate is for
  groups of equal size, and for one group that has all of K, whichever is worse.

  Args:
    problem: what to compute.
    device: what computes it.
    num_sms: multiprocessors to use; all of the device's if None.
    block_size_multiple_of: what block_m and block_n must be multiples of.

  Raises:
    ValueError: no configuration is legal.
  """
  if num_sms is not None:
    device = dataclasses.replace(device, num_sms=num_sms)
  legal = legal_k_grouped_configs(problem, device)
  configs = of_block_sizes(legal, block_size_multiple_of, problem, device)
  return min(
    configs,
    key=lambda config: estimate_k_grouped_seconds(problem, config, device),
  )


def legal_k_grouped_configs(
  problem: KGroupedBf16GemmProblem, device: Device
) -> Iterator[Sm90KGroupedBf16GemmConfig]:
  """Returns every configuration that computes `problem` on `device`.

  Raises:
    ValueError: there are more groups than the table has room for.
  """
  if problem.num_groups > MAX_GROUPS:
    raise ValueError(f"num_groups must be at most {MAX_GROUPS}")
  num_blocks = -(-problem.k // BLOCK_K)
  num_parts = 1
  while num_parts <= _MAX_PARTS:
    num_items = problem.num_groups * num_parts
    if num_items > MAX_GROUPS or num_parts > num_blocks:
      return
    max_groups = next(size for size in _TABLE_SIZES if size >= num_items)
    free = device.smem_bytes - _table_bytes(max_groups)
    smaller = dataclasses.replace(device, smem_bytes=free)
    for gemm in legal_configs(_dense(problem, num_parts), smaller):
      if gemm.stage_k_blocks == 1:  # Groups have any number of K blocks.
        with_c = problem.with_c and num_parts == 1
        gemm = dataclasses.replace(gemm, with_c=with_c)
        yield Sm90KGroupedBf16GemmConfig(gemm, max_groups, num_parts)
    num_parts *= 2


def num_k_grouped_tiles(
  problem: KGroupedBf16GemmProblem, config: Sm90KGroupedBf16GemmConfig
) -> tuple[int, int]:
  """Returns tiles of a group along M and N, both counted in clusters."""
  return num_tiles(_dense(problem, config.num_parts), config.gemm)


def _dense(problem: KGroupedBf16GemmProblem, num_parts: int) -> Bf16GemmProblem:
  """Returns what a part of each group is if all are of one size."""
  num_items = max(problem.num_groups, 1) * num_parts
  num_blocks = -(-problem.k // BLOCK_K)
  return Bf16GemmProblem(
    m=problem.m,
    n=problem.n,
    k=max(-(-num_blocks // num_items), 1) * BLOCK_K,
    num_groups=problem.num_groups * num_parts,
    a_mn_major=True,
    b_mn_major=True,
    float32_out=True,
    with_c=problem.with_c,
  )


def estimate_k_grouped_seconds(
  problem: KGroupedBf16GemmProblem,
  config: Sm90KGroupedBf16GemmConfig,
  device: Device,
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  even = _dense(problem, config.num_parts)
  single = dataclasses.replace(
    even,
    k=-(-problem.k // (BLOCK_K * config.num_parts)) * BLOCK_K,
    num_groups=config.num_parts,
  )
  # TMA adds C: no warp waits for it.
  gemm = dataclasses.replace(config.gemm, with_c=False)
  seconds = max(
    estimate_seconds(even, gemm, device),
    estimate_seconds(single, gemm, device),
  )
  elements = problem.num_groups * problem.m * problem.n
  return seconds + sum_of_parts_seconds(elements, config.num_parts, device)


def _table_bytes(max_groups: int) -> int:
  # One word more, and whole kilobytes: the stages' alignment is the struct's.
  table = 4 + max_groups * _TABLE_BYTES_PER_GROUP
  return -(-(table + 4 + 8 * _MAX_STAGES) // 1024) * 1024
