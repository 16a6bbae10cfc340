"""Small problems for the K-grouped BF16 GEMM."""

import dataclasses

import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_bf16_gemm import (
  KGroupedBf16GemmProblem,
  legal_k_grouped_configs,
)
from jax_deepgemm.primitives import sm90_k_grouped_bf16_gemm
from tests import k_grouped_bf16_data as data
from tests.emulator.k_grouped_case import KCase, case_of
from tests.emulator.kernel_case import math_roles


@dataclasses.dataclass(frozen=True)
class KBf16Case(KCase):
  """As `KCase`, of bfloat16 operands whose groups begin at any row.

  Attributes:
    sizes: rows of A and B in each group.
    gap: rows behind each group that are NaN.
    spare: rows behind the last one that are NaN.
    claimed_starts: what the kernel is told of the starts, if that is wrong.
  """

  num_stages: int = 3
  gap: int = 0
  spare: int = 9
  claimed_starts: tuple[int, ...] | None = None

  module = sm90_k_grouped_bf16_gemm

  @property
  def problem(self) -> KGroupedBf16GemmProblem:
    num_rows = data.num_rows(self.sizes, self.gap, self.spare)
    return KGroupedBf16GemmProblem(
      self.m,
      self.n,
      num_rows,
      len(self.sizes),
      self.with_c,
      self.float32_out,
    )

  def legal(self):
    return legal_k_grouped_configs(self.problem, H200)

  def id(self):
    gap = f"-gap={self.gap}" if self.gap else ""
    return f"bf16-{super().id()}{gap}"

  def operands(self):
    """Returns a, b, starts, sizes, c or None as the kernel takes them."""
    rows = {"gap": self.gap, "spare": self.spare}
    a = data.operand(self.m, self.sizes, **rows, seed=1)
    b = data.operand(self.n, self.sizes, **rows, seed=2)
    starts = self.claimed_starts or data.starts_of(self.sizes, self.gap)
    sizes = np.array(self.claimed or self.sizes, np.int32)
    return a, b, np.array(starts, np.int32), sizes, self.addend()

  def product(self):
    a, b, _, _, c = self.operands()
    return data.expected(a, b, self.sizes, c, gap=self.gap)

  def roles(self, kernel):
    math = math_roles(kernel.threads // 32 - 4)
    return [*math, "TMA loads", "cuts", "idle", "idle"]


def k_bf16_case(m, n, sizes, **fields):
  return case_of(KBf16Case, m, n, sizes, fields)
