"""Small products with sums of squares, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_hc_prenorm_gemm import (
  HcPrenormProblem,
  legal_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_hc_prenorm_gemm
from tests.emulator.emulated import emulated
from tests.emulator.kernel_case import KernelCase, math_roles
from tests.emulator.wanted import fits, words
from tests.hyperconnection import hc_oracle


@dataclasses.dataclass(frozen=True)
class HcCase(KernelCase):
  """A problem and what is wanted of its configuration.

  Attributes:
    problem: what is computed.
    wanted: fields of the configuration; the first legal one is taken.
    num_stages: fewer than a GPU has, so that the ring goes round.
  """

  problem: HcPrenormProblem
  wanted: tuple[tuple[str, int], ...]
  num_stages: int = 2

  def config(self):
    configs = sorted(legal_configs(self.problem, H200), key=str)
    config = next(c for c in configs if fits(c, self.wanted))
    return dataclasses.replace(config, num_stages=self.num_stages)

  def id(self):
    p = self.problem
    size = f"hc-{p.num_groups}x{p.m}x{p.n}x{p.k}-partials={p.num_partials}"
    return "-".join([size, *words(self.wanted)])

  def run(self, emulator, seed, arrays=None):
    """Returns `[partials, g, m, n + 1]`: D, and sums of squares behind it."""
    arrays = operands(self.problem) if arrays is None else arrays
    config = self.config()
    with emulated(
      sm90_hc_prenorm_gemm, lambda *args, **kwargs: config, emulator, seed
    ):
      results = sm90_hc_prenorm_gemm.run(
        *(jnp.asarray(x) for x in arrays),
        num_splits=self.problem.num_partials,
        options=Options(),
        device=H200,
      )
    return hc_oracle.joined(*results)

  def expected(self):
    return expected(self.problem)

  def roles(self, kernel):
    return [*math_roles(kernel.threads // 32 - 1), "TMA loads"]


def hc_case(m, n, k, *, groups=1, partials=1, num_stages=2, **wanted):
  problem = HcPrenormProblem(m, n, k, groups, partials)
  return HcCase(problem, tuple(wanted.items()), num_stages)


@functools.cache
def operands(problem):
  p = problem
  return hc_oracle.operands(p.m, p.n, p.k, groups=p.num_groups)


@functools.cache
def expected(problem):
  """Returns the exact results and the largest error that each may have."""
  a, b = operands(problem)
  exact = hc_oracle.partials(a, b, problem.num_partials)
  size = hc_oracle.partials(np.abs(a), np.abs(b), problem.num_partials)
  return exact, hc_oracle.KERNEL_ERROR * size
