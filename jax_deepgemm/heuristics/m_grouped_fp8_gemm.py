"""Which configuration computes an FP8 GEMM of groups of rows."""

from collections.abc import Iterator

from jax_deepgemm.heuristics import m_grouped_choice, tuned, tuned_grouped
from jax_deepgemm.heuristics.choice import candidates, tuned_or_cheapest
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_cost import (
  estimate_grouped_seconds,
)
from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  BLOCK_K,
  Sm90Fp8GemmConfig,
  legal_configs,
  max_num_stages,
)
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable


def legal_grouped_configs(
  problem: MGroupedFp8GemmProblem, device: Device
) -> Iterator[Sm90Fp8GemmConfig]:
  """Returns every configuration that computes `problem` on `device`."""
  full = m_grouped_choice.as_if_full(problem)
  for config in m_grouped_choice.with_groups(
    legal_configs(full, device), problem, device, max_num_stages
  ):
    # Scales of a tile are loaded from multiples of 16 bytes on.
    scales_fit = (
      config.sfa_rows > config.block_m or problem.row_alignment % 4 == 0
    )
    # Several K blocks are loaded where none ends before its 128 columns.
    whole_blocks = config.stage_k_blocks == 1 or problem.k % BLOCK_K == 0
    if scales_fit and whole_blocks:
      yield config


def choose_grouped(
  problem: MGroupedFp8GemmProblem,
  device: Device,
  *,
  num_sms: int | None = None,
  block_size_multiple_of: tuple[int, int] = (1, 1),
  user: UserTable = EMPTY,
) -> Sm90Fp8GemmConfig:
  """Returns the tuned configuration of `problem`, else the cheapest legal one.

  A pure function: the same in every process of a job. Arguments and errors are
  those of `choice.candidates`.
  """
  configs, device = candidates(
    legal_grouped_configs, problem, device, num_sms, block_size_multiple_of
  )
  return tuned_or_cheapest(
    configs,
    tuned_grouped.m_grouped_keys(problem, device, user),
    tuned.key_of,
    lambda config: estimate_grouped_seconds(problem, config, device),
  )
