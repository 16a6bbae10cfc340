"""Which configuration computes an FP8 GEMM of groups of rows."""

from collections.abc import Iterator

from jax_deepgemm.heuristics import m_grouped_choice
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_cost import (
  estimate_grouped_seconds,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Sm90Fp8GemmConfig,
  legal_configs,
  max_num_stages,
)


def legal_grouped_configs(
  problem: MGroupedFp8GemmProblem, device: Device
) -> Iterator[Sm90Fp8GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  full = m_grouped_choice.as_if_full(problem)
  for config in m_grouped_choice.with_groups(
    legal_configs(full, device), problem, device, max_num_stages
  ):
    # Scales of a tile are loaded from multiples of 16 bytes on.
    if config.sfa_rows > config.block_m or problem.row_alignment % 4 == 0:
      yield config


def choose_grouped(
  problem: MGroupedFp8GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
) -> Sm90Fp8GemmConfig:
  """Returns the legal configuration with the least estimated time.

  A pure function: the same in every process of a job. Arguments and errors are
  those of `m_grouped_choice.cheapest`.
  """
  return m_grouped_choice.cheapest(
    legal_grouped_configs,
    estimate_grouped_seconds,
    problem,
    device,
    num_sms,
    block_size_multiple_of,
  )
