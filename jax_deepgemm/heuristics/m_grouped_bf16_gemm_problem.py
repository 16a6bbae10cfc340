"""What a BF16 GEMM of groups of rows is to compute."""

import dataclasses

from jax_deepgemm.heuristics.m_grouped_problem import MGroupedProblem
from jax_deepgemm.heuristics.sm90_bf16_gemm import BLOCK_K, Bf16GemmProblem


@dataclasses.dataclass(frozen=True)
class MGroupedBf16GemmProblem(MGroupedProblem):
  """As `MGroupedProblem`, of bfloat16 operands.

  Attributes:
    b_mn_major: B is `[g, k, n]` in memory.
  """

  b_mn_major: bool = False

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that are loaded at least at a time."""
    return -(-self.k // BLOCK_K)

  @property
  def expected(self) -> Bf16GemmProblem:
    """The dense problem that this is if all groups are as expected."""
    return Bf16GemmProblem(
      m=self.expected_m,
      n=self.n,
      k=self.k,
      num_groups=self.num_groups,
      b_mn_major=self.b_mn_major,
      float32_out=self.float32_out,
    )
