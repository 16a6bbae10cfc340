"""What an FP8 GEMM of groups of rows is to compute."""

import dataclasses

from jax_deepgemm.heuristics.sm90_fp8_gemm import BLOCK_K, Fp8GemmProblem


@dataclasses.dataclass(frozen=True)
class MGroupedFp8GemmProblem:
  """Rows `[m, k]`, each times the `[n, k]` of its group.

  Attributes:
    m: rows of all groups, and of none.
    expected_m: rows that a group is expected to have.
    row_alignment: what rows at which groups begin are multiples of.
    float32_out: the result is float32 instead of bfloat16.
  """

  m: int
  n: int
  k: int
  num_groups: int
  expected_m: int
  row_alignment: int = 1
  float32_out: bool = False

  @property
  def num_k_blocks(self) -> int:
    """Blocks of K that have a scale of their own."""
    return -(-self.k // BLOCK_K)

  @property
  def out_bytes(self) -> int:
    """Bytes of an element of D."""
    return 4 if self.float32_out else 2

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
