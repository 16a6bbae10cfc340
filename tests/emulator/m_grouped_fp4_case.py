"""Small problems for forms of the M-grouped GEMM with FP4 weights."""

import dataclasses
import functools

from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm import (
  legal_grouped_configs,
)
from jax_deepgemm.heuristics.m_grouped_fp8_fp4_gemm_swapped import (
  legal_grouped_swapped_configs,
)
from jax_deepgemm.primitives import sm90_m_grouped_fp8_fp4_gemm
from tests.emulator import fp4_gemm_case
from tests.emulator.m_grouped_case import GroupedCase, make
from tests.gpu.fp4_data import NARROW
from tests.gpu.m_grouped_fp4_data import operands, product

_operands = functools.cache(operands)


@dataclasses.dataclass(frozen=True)
class GroupedFp4Case(GroupedCase):
  """As `GroupedCase`, of FP4 weights.

  Attributes:
    exponents: of B, from the first to before the second.
  """

  exponents: tuple[int, int] = NARROW

  module = sm90_m_grouped_fp8_fp4_gemm
  legal = staticmethod(legal_grouped_configs)

  def settings(self):
    return {}

  def operands(self):
    return _operands(self.groups, self.n, self.k, self.exponents)

  def product(self):
    return product(self.groups, *self.operands())

  def roles(self, kernel):
    names = fp4_gemm_case.roles(kernel)
    return [*names[:-6], "zeros", "zeros", *names[-4:]]

  def id(self):
    return f"fp4-{super().id()}"


@dataclasses.dataclass(frozen=True)
class GroupedFp4SwappedCase(GroupedFp4Case):
  """As `GroupedFp4Case`, computed by the kernel for few rows."""

  legal = staticmethod(legal_grouped_swapped_configs)

  def roles(self, kernel):
    return fp4_gemm_case.roles(kernel)

  def id(self):
    return f"few-{super().id()}"


def few_rows_case(layout, sizes, n, k, *, m, alignment=1, **fields):
  kind = GroupedFp4SwappedCase
  return make(kind, layout, sizes, n, k, m, alignment, fields)


def grouped_fp4_case(layout, sizes, n, k, *, m, alignment=1, **fields):
  return make(GroupedFp4Case, layout, sizes, n, k, m, alignment, fields)
