"""Small problems for forms of the FP8 GEMM with FP4 weights."""

import dataclasses
import functools

from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  legal_swapped_configs,
)
from jax_deepgemm.primitives import sm90_fp8_fp4_gemm
from tests.emulator.dense_case import DenseCase, addend
from tests.emulator.kernel_case import math_roles
from tests.emulator.wanted import take
from tests.gpu.fp4_data import NARROW, fp4_operands, fp4_product


@dataclasses.dataclass(frozen=True)
class Fp4Case(DenseCase):
  """As `DenseCase`, of FP8 and FP4 operands.

  Attributes:
    exponents: of B, from the first to before the second.
  """

  problem: Fp8Fp4GemmProblem
  num_stages: int = 2
  exponents: tuple[int, int] = NARROW

  module = sm90_fp8_fp4_gemm
  legal = staticmethod(legal_configs)
  legal_swapped = staticmethod(legal_swapped_configs)

  def id(self):
    exponents = "-".join(map(str, self.exponents))
    return f"fp4-{super().id()}-exponents={exponents}"

  def operands(self):
    """Returns (a, sfa, b, sfb, c or None), `[groups, ...]`."""
    return _operands(self.problem, self.exponents)

  def product(self):
    a, sfa, b, sfb, c = self.operands()
    arrays = ((a, sfa), (b, sfb), c)
    return fp4_product(*arrays), fp4_product(*arrays, size=True)

  def roles(self, kernel):
    return roles(kernel)


def fp4_case(m, n, k, *, groups=1, **fields):
  flags = take(Fp8Fp4GemmProblem, fields)
  problem = Fp8Fp4GemmProblem(m, n, k, groups, **flags)
  own = take(Fp4Case, fields)
  return Fp4Case(problem, tuple(fields.items()), **own)


@functools.cache
def _operands(problem, exponents):
  a, b = fp4_operands(
    problem.m,
    problem.n,
    problem.k,
    groups=problem.num_groups,
    exponents=exponents,
  )
  return *a, *b, addend(problem, problem.num_groups)


def roles(kernel):
  """Returns what each warp of a launch does."""
  swapped = kernel.recipe.kernel.endswith("fp8_fp4_gemm_swapped")
  num_warps = kernel.threads // 32
  # At most four warps reorder tokens.
  num_math = (num_warps - 2) // 4 * 4 if swapped else num_warps - 8
  if swapped:
    tokens = [f"tokens {i}" for i in range(num_warps - num_math - 1)]
    return [*math_roles(num_math), "loads", *tokens]
  decode = [f"decoding {i}" for i in range(4)]
  return [*math_roles(num_math), "TMA loads", *["idle"] * 3, *decode]
