"""Small problems for one form of the BF16 GEMM each."""

import dataclasses
import functools

from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  legal_swapped_configs,
)
from jax_deepgemm.primitives import sm90_bf16_gemm
from tests.emulator.dense_case import DenseCase, addend
from tests.emulator.kernel_case import math_roles
from tests.emulator.wanted import take
from tests.gpu import bf16_data


@dataclasses.dataclass(frozen=True)
class Case(DenseCase):
  """As `DenseCase`, of BF16 operands."""

  problem: Bf16GemmProblem

  module = sm90_bf16_gemm
  legal = staticmethod(legal_configs)
  legal_swapped = staticmethod(legal_swapped_configs)

  def id(self):
    return f"bf16-{layout(self.problem)}-{super().id()}"

  def settings(self):
    return {
      "a_mn_major": self.problem.a_mn_major,
      "b_mn_major": self.problem.b_mn_major,
      "memory": self.memory,
    }

  def operands(self):
    """Returns (a, b, c or None), `[groups, ...]`."""
    return _operands(self.problem)

  def product(self):
    lies = {"layout": layout(self.problem)}
    arrays = self.operands()
    exact = bf16_data.product(*arrays, **lies)
    return exact, bf16_data.magnitude(*arrays, **lies)

  def roles(self, kernel):
    return roles(kernel)


def case(name, m, n, k, *, groups=1, **fields):
  """Returns a case of layout `name`, "nt" for example."""
  problem = Bf16GemmProblem(
    *(m, n, k, groups, name[0] == "t", name[1] == "n"),
    **take(Bf16GemmProblem, fields),
  )
  own = take(Case, fields)
  return Case(problem, tuple(fields.items()), **own)


def layout(problem):
  return ("t" if problem.a_mn_major else "n") + (
    "n" if problem.b_mn_major else "t"
  )


@functools.cache
def _operands(problem):
  a, b = bf16_data.operands(
    problem.m,
    problem.n,
    problem.k,
    layout=layout(problem),
    groups=problem.num_groups,
  )
  return a, b, addend(problem, problem.num_groups)


def roles(kernel):
  """Returns what each warp of a launch does."""
  num_warps = kernel.threads // 32
  if kernel.recipe.kernel == "sm90_bf16_gemm_swapped":
    return [*math_roles(num_warps - 1), "TMA loads"]
  return [*math_roles(num_warps - 4), "TMA loads", *["idle"] * 3]
