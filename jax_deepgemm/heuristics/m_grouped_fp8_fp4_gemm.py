"""Which configuration computes groups of rows with FP4 weights."""

import dataclasses
from collections.abc import Iterator

from jax_deepgemm.heuristics import m_grouped_choice
from jax_deepgemm.heuristics.choice import candidates
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_cost import (
  estimate_grouped_seconds,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  FP4_GROUP,
  Fp8Fp4GemmProblem,
  Sm90Fp8Fp4GemmConfig,
  fits_kernel,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import max_num_stages


@dataclasses.dataclass(frozen=True)
class MGroupedFp8Fp4GemmProblem(MGroupedFp8GemmProblem):
  """As `MGroupedFp8GemmProblem`, with B in FP4."""

  @property
  def num_fp4_groups(self) -> int:
    """Groups of a row of B that have an exponent of their own."""
    return -(-self.k // FP4_GROUP)


def legal_grouped_configs(
  problem: MGroupedFp8Fp4GemmProblem, device: Device
) -> Iterator[Sm90Fp8Fp4GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
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
) -> Sm90Fp8Fp4GemmConfig:
  """Returns the cheapest legal configuration of `problem`.

  A pure function: the same in every process of a job. Arguments and errors are
  those of `choice.candidates`. Costs are those of FP8 weights: how
  many bytes B has is the same for all configurations.
  """
  configs, device = candidates(
    legal_grouped_configs, problem, device, num_sms, block_size_multiple_of
  )
  return min(
    configs,
    key=lambda config: estimate_grouped_seconds(problem, config, device),
  )
