"""Configurations for groups of few rows with FP4 weights.

The kernel takes any number of rows in tiles of block_m: a group with more has
several, each of which decodes B anew.
"""

import itertools
from collections.abc import Iterator

from jax_deepgemm.heuristics import m_grouped_choice
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_problem import (
  MGroupedFp8Fp4GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import BLOCK_K
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  BLOCK_MS,
  Sm90Fp8Fp4GemmSwappedConfig,
  with_rounds,
)
from jax_deepgemm.heuristics.swapped_choice import with_stages

_K_BLOCKS_AHEAD = 24  # As in the kernels for many rows.
# A ring that goes round with two large stages took 1.2 to 1.6 times as long as
# with four in BF16, for heads of few tokens.
_LEAST_STAGES = 4


def legal_grouped_swapped_configs(
  problem: MGroupedFp8Fp4GemmProblem,
  device: Device,
  *,
  may_share: bool = True,
) -> Iterator[Sm90Fp8Fp4GemmSwappedConfig]:
  """Returns the configurations that compute `problem` on `device`.

  Args:
    problem: what to compute.
    device: what computes it.
    may_share: several CTAs may share a multiprocessor. Where only some of those
      may be used, it would not be known how many the CTAs take.
  """
  forms = itertools.product(
    BLOCK_MS,
    (1, 2),  # num_math_warpgroups.
    (1, 2, 4),  # stage_k_blocks.
    (1, 2, 3, 4) if may_share else (1,),  # ctas_per_sm.
  )
  configs = (
    Sm90Fp8Fp4GemmSwappedConfig(
      block_m=block_m,
      num_math_warpgroups=warpgroups,
      num_stages=0,
      stage_k_blocks=blocks,
      mma_groups=0,
      num_splits=1,
      ctas_per_sm=ctas_per_sm,
      prefetch_weights=False,
      # Other tiles of the group want what L2 has of B.
      evict_first=problem.expected_m <= block_m,
      float32_out=problem.float32_out,
      with_c=False,
      max_groups=m_grouped_choice.table_size(problem),
    )
    for block_m, warpgroups, blocks, ctas_per_sm in forms
  )
  legal = with_stages(
    with_rounds(configs),
    problem,
    device,
    BLOCK_K,
    k_blocks_ahead=_K_BLOCKS_AHEAD,
  )
  for config in legal:
    if config.num_stages >= _LEAST_STAGES and _registers_fit(config):
      yield config


def _registers_fit(config: Sm90Fp8Fp4GemmSwappedConfig) -> bool:
  """Whether the kernel compiles without spills, which was tried.

  In one form those that know the next tile are too many.
  """
  return (
    config.block_m != 64
    or config.mma_groups != 1
    or (config.max_registers != 128)
  )
