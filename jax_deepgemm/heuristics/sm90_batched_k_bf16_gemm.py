"""Problems and configurations of the Hopper BF16 GEMM over a K of many runs."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics.bf16_gemm_cost import estimate_seconds
from jax_deepgemm.heuristics.choice import candidates
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.k_grouped_parts import sum_of_parts_seconds
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  BLOCK_K,
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
  num_tiles,
)

_SHARES = (1, 2, 4)  # Of the multiprocessors, that a wave of parts may take.
# What reading operands that are larger than L2 costs more. Of 24 configurations
# for b = 8192, m = n = k = 256 on an H200 the six without either took 502 to
# 538 us and one 564, where reading takes 499 at least.
_LONG_BYTES = 256 * 2**20
_MULTICAST_LOSS = 0.15  # Both CTAs wait for the slower one's reads.
_SHORT_READS_LOSS = 0.13  # 128 bytes at a time, of rows of 256 and more.
_OVERHANG_LOSS = 0.4  # For each column of tiles beyond N, over N.


@dataclasses.dataclass(frozen=True)
class BatchedKBf16GemmProblem:
  """The sum of `num_runs` products `[m, k_run] x [n, k_run]`.

  Attributes:
    with_c: C is added to the sum.
    float32_out: the result, and C, are float32 instead of bfloat16.
  """

  m: int
  n: int
  k_run: int
  num_runs: int
  with_c: bool = False
  float32_out: bool = False
  num_groups: int = 1  # Of results.

  @property
  def run_k_blocks(self) -> int:
    """Blocks of K of a run."""
    return -(-self.k_run // BLOCK_K)


@dataclasses.dataclass(frozen=True)
class Sm90BatchedKBf16GemmConfig:
  """How the kernel computes a problem.

  Attributes:
    gemm: of a tile; `with_c` says that the kernel adds C.
    num_parts: parts of K that are products of their own, in float32, and are
      summed afterwards.
  """

  gemm: Sm90Bf16GemmConfig
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
    return self.gemm.smem_bytes


def choose(
  problem: BatchedKBf16GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  batch_invariant: bool = False,
) -> Sm90BatchedKBf16GemmConfig:
  """Returns the legal configuration with the least estimated time.

  Arguments and errors are those of `choice.candidates`. With `batch_invariant`
  there is one part: how many are best depends on m.
  """
  configs, device = candidates(
    legal_batched_k_configs, problem, device, num_sms, block_size_multiple_of
  )
  if batch_invariant:
    configs = [config for config in configs if config.num_parts == 1]
  return min(
    configs,
    key=lambda config: estimate_batched_k_seconds(problem, config, device),
  )


def legal_batched_k_configs(
  problem: BatchedKBf16GemmProblem, device: Device
) -> Iterator[Sm90BatchedKBf16GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  for is_parted in (False, True):
    for gemm in legal_configs(_run(problem, is_parted), device):
      if not _ends_with_runs(problem, gemm):
        continue
      if not is_parted:
        yield Sm90BatchedKBf16GemmConfig(gemm, 1)
        continue
      for num_parts in _numbers_of_parts(problem, gemm, device):
        yield Sm90BatchedKBf16GemmConfig(gemm, num_parts)


def num_stages_of_k(
  problem: BatchedKBf16GemmProblem, gemm: Sm90Bf16GemmConfig
) -> int:
  """Returns how many stages all of K has."""
  return problem.num_runs * problem.run_k_blocks // gemm.stage_k_blocks


def num_batched_k_tiles(
  problem: BatchedKBf16GemmProblem, config: Sm90BatchedKBf16GemmConfig
) -> tuple[int, int]:
  """Returns tiles of a part along M and N, both counted in clusters."""
  return num_tiles(_run(problem, False), config.gemm)


def estimate_batched_k_seconds(
  problem: BatchedKBf16GemmProblem,
  config: Sm90BatchedKBf16GemmConfig,
  device: Device,
) -> float:
  """Returns the estimated run time of `config` on `device`."""
  num_blocks = problem.num_runs * problem.run_k_blocks
  part = dataclasses.replace(
    _run(problem, config.num_parts > 1),
    k=-(-num_blocks // config.num_parts) * BLOCK_K,
    num_groups=config.num_parts,
  )
  seconds = estimate_seconds(part, config.gemm, device)
  elements = problem.m * problem.n
  return seconds * _read_factor(problem, config.gemm) + sum_of_parts_seconds(
    elements, config.num_parts, device
  )


def _read_factor(
  problem: BatchedKBf16GemmProblem, gemm: Sm90Bf16GemmConfig
) -> float:
  """Returns what a long time of reading is multiplied by."""
  if (
    2 * (problem.m + problem.n) * problem.k_run * problem.num_runs < _LONG_BYTES
  ):
    return 1.0
  loss = 0.0
  if gemm.cluster_size > 1:
    loss += _MULTICAST_LOSS
  if gemm.stage_k_blocks == 1 and problem.run_k_blocks > 1:
    loss += _SHORT_READS_LOSS
  overhang = -problem.n % gemm.block_n / problem.n
  return 1.0 + loss + _OVERHANG_LOSS * overhang


def _run(problem: BatchedKBf16GemmProblem, is_parted: bool) -> Bf16GemmProblem:
  """Returns the product of a run; parts are summed before they are rounded."""
  return Bf16GemmProblem(
    m=problem.m,
    n=problem.n,
    k=problem.k_run,
    float32_out=problem.float32_out or is_parted,
    with_c=problem.with_c and not is_parted,
  )


def _ends_with_runs(
  problem: BatchedKBf16GemmProblem, gemm: Sm90Bf16GemmConfig
) -> bool:
  """Whether no stage reaches into the next run."""
  blocks = gemm.stage_k_blocks
  is_whole = problem.k_run % BLOCK_K == 0
  return blocks == 1 or (is_whole and problem.run_k_blocks % blocks == 0)


def _numbers_of_parts(
  problem: BatchedKBf16GemmProblem, gemm: Sm90Bf16GemmConfig, device: Device
) -> list[int]:
  """Returns numbers of parts, from two on, whose tiles are one wave at most."""
  tiles_m, tiles_n = num_tiles(_run(problem, True), gemm)
  clusters = device.num_sms // gemm.cluster_size
  most = min(clusters // (tiles_m * tiles_n), num_stages_of_k(problem, gemm))
  return sorted({most // share for share in _SHARES} - {0, 1})
