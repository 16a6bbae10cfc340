"""Small problems for the BF16 GEMM over a K of many runs, and running them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_batched_k_bf16_gemm import (
  BatchedKBf16GemmProblem,
  Sm90BatchedKBf16GemmConfig,
  legal_batched_k_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_batched_k_bf16_gemm
from tests.emulator import bf16_gemm_case
from tests.emulator.emulated import emulated
from tests.gpu import bf16_data


@dataclasses.dataclass(frozen=True)
class BatchedKCase:
  """A problem and what is wanted of its configuration.

  Attributes:
    problem: what is computed.
    num_parts: parts of K.
    wanted: fields of a tile; the first legal one is taken.
    num_sms: CTAs at most; fewer than tiles, so that they walk.
    num_stages: fewer than a GPU has, so that the ring goes round.
  """

  problem: BatchedKBf16GemmProblem
  num_parts: int
  wanted: tuple[tuple[str, int], ...]
  num_sms: int = 2
  num_stages: int = 3

  def config(self) -> Sm90BatchedKBf16GemmConfig:
    # With or without parts there are different tiles.
    configs = [
      config
      for config in legal_batched_k_configs(self.problem, H200)
      if (config.num_parts > 1) == (self.num_parts > 1)
      and all(getattr(config.gemm, key) == x for key, x in self.wanted)
    ]
    gemm = min((config.gemm for config in configs), key=str)
    gemm = dataclasses.replace(gemm, num_stages=self.num_stages)
    return Sm90BatchedKBf16GemmConfig(gemm, self.num_parts)

  def id(self) -> str:
    p = self.problem
    flags = [name for name in ("float32_out", "with_c") if getattr(p, name)]
    wanted = [f"{name}={value}" for name, value in self.wanted]
    size = f"runs-{p.num_runs}x{p.m}x{p.n}x{p.k_run}-{self.num_parts}"
    return "-".join([size, *wanted, *flags])

  def run(self, emulator, seed):
    a, b, c = (
      None if x is None else jnp.asarray(x) for x in operands(self.problem)
    )
    kernel = sm90_batched_k_bf16_gemm
    config = self.config()
    with emulated(kernel, lambda *args, **kwargs: config, emulator, seed):
      result = kernel.run(
        a,
        b,
        c,
        k_run=self.problem.k_run,
        out_dtype=bf16_gemm_case.out_dtype(self.problem),
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result)

  def expected(self):
    return expected(self.problem)

  def wrong_elements(self, result):
    exact, bound = self.expected()
    error = np.abs(result.astype(np.float64) - exact)
    return np.argwhere(~(error <= bound))

  def roles(self, kernel):
    return bf16_gemm_case.roles(kernel)


def runs_case(runs, m, n, k_run, num_parts, *, num_sms=2, **fields):
  flags = {flag: fields.pop(flag, False) for flag in ("float32_out", "with_c")}
  problem = BatchedKBf16GemmProblem(m, n, k_run, runs, **flags)
  return BatchedKCase(problem, num_parts, tuple(fields.items()), num_sms)


@functools.cache
def operands(problem):
  """Returns a and b `[1, rows, k]`, and c or None."""
  k = problem.num_runs * problem.k_run
  a, b = bf16_data.operands(problem.m, problem.n, k, groups=1)
  c = np.random.default_rng(1).standard_normal((1, problem.m, problem.n))
  c = (c * 1000).astype(bf16_gemm_case.out_dtype(problem))
  return a, b, c if problem.with_c else None


@functools.cache
def expected(problem):
  """Returns D and the largest error that each element may have."""
  exact = bf16_data.product(*operands(problem))
  size = bf16_data.magnitude(*operands(problem))
  rounding = 2.0**-24 if problem.float32_out else 2.0**-8
  return exact, bf16_gemm_case.SUM_ERROR * size + rounding * np.abs(exact)
