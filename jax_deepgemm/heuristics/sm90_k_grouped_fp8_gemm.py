"""Problems and configurations of the Hopper K-grouped FP8 GEMM."""

import dataclasses
import functools
import math
from collections.abc import Iterator

from jax_deepgemm.heuristics import k_grouped_parts, tuned, tuned_grouped
from jax_deepgemm.heuristics.choice import candidates, tuned_or_cheapest
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.fp8_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
  num_tiles,
)
from jax_deepgemm.heuristics.user_table import EMPTY, Key, UserTable

FAMILY = "k_grouped_fp8_gemm"
MAX_GROUPS = k_grouped_parts.MAX_GROUPS
_TABLE_BYTES_PER_GROUP = 16  # KGroupTable in cuda/common/.


@dataclasses.dataclass(frozen=True)
class KGroupedFp8GemmProblem:
  """`num_groups` products `[m, k_g] x [n, k_g]`.

  Attributes:
    num_k_blocks: blocks of 128 that the groups have at most, all together.
    with_c: C is added to the product, which is float32 then.
    float32_out: the result is float32 instead of bfloat16.
  """

  m: int
  n: int
  num_k_blocks: int
  num_groups: int
  with_c: bool = False
  float32_out: bool = True


@dataclasses.dataclass(frozen=True)
class Sm90KGroupedFp8GemmConfig(k_grouped_parts.KGroupedConfig):
  """How the kernel computes a problem."""

  gemm: Sm90Fp8GemmConfig

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    return self.gemm.smem_bytes + _table_bytes(self.max_groups)


def choose(
  problem: KGroupedFp8GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  user: UserTable = EMPTY,
) -> Sm90KGroupedFp8GemmConfig:
  """Returns the tuned configuration of `problem`, else the cheapest legal one.

  How K is distributed over the groups is not known here. The estimate is for
  groups of equal size, and for the largest group of a skewed distribution,
  whichever is worse: were it for one group that has all of K, it would take
  tiles so small that equal groups need up to five times as long.

  Arguments and errors are those of `choice.candidates`; what was measured on
  the user's GPU, `user`, goes before all else.
  """
  configs, device = candidates(
    legal_k_grouped_configs, problem, device, num_sms, block_size_multiple_of
  )
  # Among equals one whose CTAs share an operand: fewer bytes, less power.
  return tuned_or_cheapest(
    configs,
    tuned_grouped.keys(FAMILY, problem_name(problem), device, user),
    key_of,
    lambda config: (
      estimate_k_grouped_seconds(problem, config, device),
      -config.gemm.cluster_size,
    ),
  )


def key_of(config: Sm90KGroupedFp8GemmConfig) -> Key:
  """Returns what tells `config` from the others that are legal."""
  return (*tuned.key_of(config.gemm), config.num_parts)


def problem_name(problem: KGroupedFp8GemmProblem) -> str:
  """Returns the name in the tables of problems about as long as `problem`.

  Results in bfloat16 have no entries of their own: what is fastest for float32
  is taken for them.
  """
  k = tuned_grouped.bucket(problem.num_k_blocks) * BLOCK_K
  c = " c" if problem.with_c else ""
  size = f"{problem.m}x{problem.n}"
  return f"f32{c} {problem.num_groups} x {size}, packed k to {k}"


def legal_k_grouped_configs(
  problem: KGroupedFp8GemmProblem, device: Device
) -> Iterator[Sm90KGroupedFp8GemmConfig]:
  """Returns every configuration that computes `problem` on `device`.

  Raises:
    ValueError: there are more groups than the table has room for.
  """
  for num_parts, max_groups, rest in k_grouped_parts.parts_and_tables(
    problem.num_groups, problem.num_k_blocks, device, _table_bytes
  ):
    for gemm in legal_configs(_dense(problem, num_parts), rest):
      if _takes_groups(gemm):
        with_c = problem.with_c and num_parts == 1
        gemm = dataclasses.replace(gemm, with_c=with_c)
        yield Sm90KGroupedFp8GemmConfig(gemm, max_groups, num_parts)


def num_k_grouped_tiles(
  problem: KGroupedFp8GemmProblem, config: Sm90KGroupedFp8GemmConfig
) -> tuple[int, int]:
  """Returns tiles of a group along M and N, both counted in clusters."""
  return num_tiles(_dense(problem, config.num_parts), config.gemm)


def _takes_groups(gemm: Sm90Fp8GemmConfig) -> bool:
  """Whether the kernel takes groups in this form.

  Groups begin at any K block, boxes of a D that is added to must not overlap,
  and the scheduler leaves no registers for two slabs of 128 columns (88 bytes
  were spilled).
  """
  boxes = gemm.num_main_boxes * gemm.store_box_columns
  stores = boxes == gemm.block_n or not gemm.float32_out
  fits = gemm.num_slabs == 1 or gemm.block_n < 128
  return gemm.stage_k_blocks == 1 and stores and fits


def _dense(problem: KGroupedFp8GemmProblem, num_parts: int) -> Fp8GemmProblem:
  """Returns what a part of each group is if all are of one size."""
  parts = max(problem.num_groups, 1) * num_parts
  return Fp8GemmProblem(
    m=problem.m,
    n=problem.n,
    k=max(-(-problem.num_k_blocks // parts), 1) * BLOCK_K,
    num_groups=problem.num_groups * num_parts,
    sfb_per_row=True,
    # Parts are summed before they are rounded.
    float32_out=problem.float32_out or num_parts > 1,
    with_c=problem.with_c,
  )


def estimate_k_grouped_seconds(
  problem: KGroupedFp8GemmProblem,
  config: Sm90KGroupedFp8GemmConfig,
  device: Device,
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  even = _dense(problem, config.num_parts)
  blocks = math.ceil(problem.num_k_blocks * largest_share(problem.num_groups))
  largest = dataclasses.replace(
    even,
    k=-(-blocks // config.num_parts) * BLOCK_K,
    num_groups=config.num_parts,
  )
  seconds = max(
    estimate_seconds(even, config.gemm, device),
    estimate_seconds(largest, config.gemm, device),
  )
  elements = problem.num_groups * problem.m * problem.n
  return seconds + k_grouped_parts.sum_of_parts_seconds(
    elements, config.num_parts, device
  )


@functools.cache
def largest_share(num_groups: int) -> float:
  """Returns the share of K of the largest group, where the r-th has 1 / r."""
  return 1 / sum(1 / rank for rank in range(1, max(num_groups, 1) + 1))


def _table_bytes(max_groups: int) -> int:
  # One word more, and whole kilobytes: the stages' alignment is the struct's.
  return -(-(4 + max_groups * _TABLE_BYTES_PER_GROUP) // 1024) * 1024
