"""Small problems for one form of the FP8 GEMM each."""

import dataclasses
import functools

import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import Fp8GemmProblem, legal_configs
from jax_deepgemm.heuristics.sm90_fp8_gemm_split import legal_split_configs
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  legal_swapped_configs,
)
from jax_deepgemm.primitives import sm90_fp8_gemm
from tests.emulator.dense_case import DenseCase, addend
from tests.emulator.kernel_case import math_roles
from tests.emulator.wanted import take
from tests.gpu.gemm_data import dequantize, product, scaled_operands


@dataclasses.dataclass(frozen=True)
class Case(DenseCase):
  """As `DenseCase`, of FP8 operands.

  Attributes:
    split: the kernel for few tiles computes it.
  """

  problem: Fp8GemmProblem
  split: bool = False

  module = sm90_fp8_gemm
  legal = staticmethod(legal_configs)
  legal_swapped = staticmethod(legal_swapped_configs)
  flags = ("sfb_per_row", *DenseCase.flags)

  def legal_configs(self):
    if self.split:
      return legal_split_configs(self.problem, H200)
    return super().legal_configs()

  def id(self):
    return super().id() + "-split" * self.split

  def settings(self):
    recipe_b = (1 if self.problem.sfb_per_row else 128, 128)
    return {"recipe_a": (1, 128), "recipe_b": recipe_b, "memory": self.memory}

  def operands(self):
    """Returns (a, sfa, b, sfb, c or None), `[groups, ...]`."""
    return _operands(self.problem)

  def product(self):
    a, sfa, b, sfb, c = self.operands()
    left, right = np.abs(dequantize(a, sfa)), np.abs(dequantize(b, sfb))
    size = left @ np.swapaxes(right, -1, -2)
    if c is not None:
      size += np.abs(c.astype(np.float64))
    return product((a, sfa), (b, sfb), c), size

  def roles(self, kernel):
    return roles(kernel)


def case(m, n, k, *, groups=1, **fields):
  problem = Fp8GemmProblem(m, n, k, groups, **take(Fp8GemmProblem, fields))
  own = take(Case, fields)
  return Case(problem, tuple(fields.items()), **own)


@functools.cache
def _operands(problem):
  a, b = scaled_operands(
    problem.m,
    problem.n,
    problem.k,
    groups=problem.num_groups,
    sfb_per_row=problem.sfb_per_row,
  )
  return *a, *b, addend(problem, problem.num_groups)


def roles(kernel):
  """Returns what each warp of a launch does."""
  num_warps = kernel.threads // 32
  if kernel.recipe.kernel != "sm90_fp8_gemm":
    return [*math_roles(num_warps - 1), "TMA loads"]
  return [*math_roles(num_warps - 4), "TMA loads", "scale loads", *["idle"] * 2]
