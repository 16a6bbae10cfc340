"""What an FP8 GEMM of groups of rows with FP4 weights is to compute."""

import dataclasses

from jax_deepgemm.heuristics.m_grouped_fp8_gemm_problem import (
  MGroupedFp8GemmProblem,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import FP4_GROUP


@dataclasses.dataclass(frozen=True)
class MGroupedFp8Fp4GemmProblem(MGroupedFp8GemmProblem):
  """As `MGroupedFp8GemmProblem`, with B in FP4."""

  @property
  def num_fp4_groups(self) -> int:
    """Groups of a row of B that have an exponent of their own."""
    return -(-self.k // FP4_GROUP)
