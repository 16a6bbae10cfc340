"""What an FP8 GEMM of groups of rows is to compute."""

import dataclasses

from jax_deepgemm.heuristics.m_grouped_problem import MGroupedProblem
from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem


@dataclasses.dataclass(frozen=True)
class MGroupedFp8GemmProblem(MGroupedProblem):
  """As `MGroupedProblem`, of scaled float8_e4m3fn operands."""

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that have a scale of their own."""
    return -(-self.k // BLOCK_K)

  @property
  def expected(self) -> Fp8GemmProblem:
    """The dense problem that this is if all groups are as expected."""
    return Fp8GemmProblem(
      m=self.expected_m,
      n=self.n,
      k=self.k,
      num_groups=self.num_groups,
      float32_out=self.float32_out,
    )
