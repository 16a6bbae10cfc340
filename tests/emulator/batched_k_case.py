"""Small problems for the BF16 GEMM over a K of many runs."""

import dataclasses
import functools

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_batched_k_bf16_gemm import (
  BatchedKBf16GemmProblem,
  Sm90BatchedKBf16GemmConfig,
  legal_batched_k_configs,
)
from jax_deepgemm.primitives import sm90_batched_k_bf16_gemm
from tests.emulator import bf16_gemm_case
from tests.emulator.dense_case import DenseCase, addend
from tests.emulator.wanted import fits, take, words
from tests.gpu import bf16_data


@dataclasses.dataclass(frozen=True)
class BatchedKCase(DenseCase):
  """As `DenseCase`; what is wanted are fields of a tile.

  Attributes:
    num_parts: parts of K.
  """

  problem: BatchedKBf16GemmProblem
  num_parts: int = 1

  module = sm90_batched_k_bf16_gemm

  def config(self):
    # With or without parts there are different tiles.
    gemms = [
      config.gemm
      for config in legal_batched_k_configs(self.problem, H200)
      if (config.num_parts > 1) == (self.num_parts > 1)
      and fits(config.gemm, self.wanted)
    ]
    gemm = min(gemms, key=str)
    gemm = dataclasses.replace(gemm, num_stages=self.num_stages)
    return Sm90BatchedKBf16GemmConfig(gemm, self.num_parts)

  def id(self):
    p = self.problem
    flags = [name for name in self.flags if getattr(p, name)]
    size = f"runs-{p.num_runs}x{p.m}x{p.n}x{p.k_run}-{self.num_parts}"
    return "-".join([size, *words(self.wanted), *flags])

  def settings(self):
    return {"k_run": self.problem.k_run}

  def operands(self):
    """Returns a and b `[1, rows, k]`, and c or None."""
    return _operands(self.problem)

  def product(self):
    arrays = self.operands()
    return bf16_data.product(*arrays), bf16_data.magnitude(*arrays)

  def roles(self, kernel):
    return bf16_gemm_case.roles(kernel)


def runs_case(runs, m, n, k_run, num_parts, **fields):
  flags = take(BatchedKBf16GemmProblem, fields)
  problem = BatchedKBf16GemmProblem(m, n, k_run, runs, **flags)
  own = take(BatchedKCase, fields)
  wanted = tuple(fields.items())
  return BatchedKCase(problem, wanted, num_parts=num_parts, **own)


@functools.cache
def _operands(problem):
  k = problem.num_runs * problem.k_run
  a, b = bf16_data.operands(problem.m, problem.n, k, groups=1)
  return a, b, addend(problem, 1)
