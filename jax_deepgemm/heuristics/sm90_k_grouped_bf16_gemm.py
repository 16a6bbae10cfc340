"""Problems and configurations of the Hopper K-grouped BF16 GEMM."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.bf16_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.choice import candidates
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.k_grouped_parts import (
  KGroupedConfig,
  parts_and_tables,
  sum_of_parts_seconds,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  BLOCK_K,
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
  num_tiles,
)

_TABLE_BYTES_PER_GROUP = 16  # KGroupTable in cuda/common/.
_MAX_STAGES = 32  # With a barrier for each in the table.


@dataclasses.dataclass(frozen=True)
class KGroupedBf16GemmProblem:
  """`num_groups` products `[k_g, m] x [k_g, n]`.

  Attributes:
    k: rows that the groups have at most, all together.
    with_c: C is added to the product, which is float32 then.
    float32_out: the result is float32 instead of bfloat16.
  """

  m: int
  n: int
  k: int
  num_groups: int
  with_c: bool = False
  float32_out: bool = True


@dataclasses.dataclass(frozen=True)
class Sm90KGroupedBf16GemmConfig(KGroupedConfig):
  """How the kernel computes a problem."""

  gemm: Sm90Bf16GemmConfig

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

  Arguments and errors are those of `choice.candidates`.
  """
  configs, device = candidates(
    legal_k_grouped_configs, problem, device, num_sms, block_size_multiple_of
  )
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
  num_blocks = -(-problem.k // BLOCK_K)
  for num_parts, max_groups, rest in parts_and_tables(
    problem.num_groups, num_blocks, device, _table_bytes
  ):
    for gemm in legal_configs(_dense(problem, num_parts), rest):
      if gemm.stage_k_blocks == 1:  # Groups have any number of K blocks.
        with_c = problem.with_c and num_parts == 1
        gemm = dataclasses.replace(gemm, with_c=with_c)
        yield Sm90KGroupedBf16GemmConfig(gemm, max_groups, num_parts)


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
    # Parts are summed before they are rounded.
    float32_out=problem.float32_out or num_parts > 1,
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
