"""Which configuration computes groups of rows with FP4 weights."""

import functools
import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics import m_grouped_choice
from jax_deepgemm.heuristics.choice import candidates
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_cost import (
  decoding_seconds,
  estimate_swapped_seconds,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_swapped import (
  legal_grouped_swapped_configs,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_cost import (
  estimate_grouped_seconds,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  Sm90Fp8Fp4GemmConfig,
  fits_kernel,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import max_num_stages

Config = Sm90Fp8Fp4GemmConfig | Sm90Fp8Fp4GemmSwappedConfig


def legal_grouped_configs(
  problem: MGroupedFp8Fp4GemmProblem, device: Device
) -> Iterator[Sm90Fp8Fp4GemmConfig]:
  """Returns the configurations of the kernel for many rows."""
  full = m_grouped_choice.as_if_full(problem)
  dense = Fp8Fp4GemmProblem(
    m=full.m,
    n=full.n,
    k=full.k,
    num_groups=full.num_groups,
    float32_out=full.float32_out,
  )
  for config in m_grouped_choice.with_groups(
    legal_configs(dense, device), problem, device, max_num_stages
  ):
    # Scales of a tile are loaded from multiples of 16 bytes on.
    aligned = config.sfa_rows > config.block_m or problem.row_alignment % 4 == 0
    if aligned and fits_kernel(config):
      yield config


def choose_grouped(
  problem: MGroupedFp8Fp4GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  batch_invariant: bool = False,
) -> Config:
  """Returns the cheapest legal configuration of `problem`.

  A pure function: the same in every process of a job. Arguments and errors are
  those of `choice.candidates`. With `batch_invariant` it is the kernel for many
  rows, however few are expected: both sum up in their own order.
  """
  legal = functools.partial(
    legal_of_both, may_share=num_sms is None, few_rows=not batch_invariant
  )
  configs, device = candidates(
    legal, problem, device, num_sms, block_size_multiple_of
  )
  of_kernels = (
    [c for c in configs if isinstance(c, Sm90Fp8Fp4GemmConfig)],
    [c for c in configs if isinstance(c, Sm90Fp8Fp4GemmSwappedConfig)],
  )

  # How many bytes B has is the same for all configurations for many rows: they
  # are told apart as with FP8 weights.
  def cost(config: Config) -> float:
    if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
      return estimate_swapped_seconds(problem, config, device)
    return estimate_grouped_seconds(problem, config, device)

  best = [min(of_kernel, key=cost) for of_kernel in of_kernels if of_kernel]
  return min(best, key=lambda config: estimate(problem, config, device))


def legal_of_both(
  problem: MGroupedFp8Fp4GemmProblem,
  device: Device,
  *,
  may_share: bool = True,
  few_rows: bool = True,
) -> Iterator[Config]:
  """Returns the configurations of both kernels, as `choose_grouped` is asked.

  Args:
    problem: what to compute.
    device: what computes it.
    may_share: several CTAs may share a multiprocessor.
    few_rows: those of the kernel for few rows, too.
  """
  swapped = legal_grouped_swapped_configs(problem, device, may_share=may_share)
  return itertools.chain(
    legal_grouped_configs(problem, device), swapped if few_rows else ()
  )


def estimate(
  problem: MGroupedFp8Fp4GemmProblem, config: Config, device: Device
) -> float:
  """Returns the estimated seconds of either kernel."""
  if isinstance(config, Sm90Fp8Fp4GemmSwappedConfig):
    return estimate_swapped_seconds(problem, config, device)
  return max(
    estimate_grouped_seconds(problem, config, device),
    decoding_seconds(problem, config, device),
  )
