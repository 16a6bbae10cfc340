"""Small problems for forms of the M-grouped BF16 GEMM."""

import dataclasses
import functools

from jax_deepgemm.heuristics.m_grouped_bf16_gemm import legal_grouped_configs
from jax_deepgemm.primitives import sm90_m_grouped_bf16_gemm
from tests.emulator.bf16_gemm_case import roles
from tests.emulator.m_grouped_case import GroupedCase, make
from tests.gpu.m_grouped_bf16_data import operands, product

_operands = functools.cache(operands)


@dataclasses.dataclass(frozen=True)
class GroupedBf16Case(GroupedCase):
  """As `GroupedCase`, of BF16 operands.

  Attributes:
    b_mn_major: B is `[g, k, n]` in memory.
  """

  num_stages: int = 3
  b_mn_major: bool = False

  module = sm90_m_grouped_bf16_gemm
  legal = staticmethod(legal_grouped_configs)

  def settings(self):
    return {"b_mn_major": self.b_mn_major}

  def operands(self):
    return _operands(self.groups, self.n, self.k, **self.settings())

  def product(self):
    return product(self.groups, *self.operands(), **self.settings())

  def roles(self, kernel):
    return roles(kernel)

  def id(self):
    return f"bf16-n{'n' if self.b_mn_major else 't'}-{super().id()}"


def bf16_case(layout, sizes, n, k, *, m, alignment=1, **fields):
  return make(GroupedBf16Case, layout, sizes, n, k, m, alignment, fields)
