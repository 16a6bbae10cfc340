"""Small problems for one form of the BF16 GEMM each, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_bf16_gemm import (
  Bf16GemmProblem,
  Sm90Bf16GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_bf16_gemm_swapped import (
  Sm90Bf16GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_bf16_gemm
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from tests.emulator.emulated import emulated
from tests.gpu import bf16_data

# float32 sums in some order.
SUM_ERROR = 1e-6


@dataclasses.dataclass(frozen=True)
class Case:
  """A problem and what is wanted of its configuration.

  Attributes:
    problem: what is computed.
    wanted: fields of the configuration; the first legal one is taken.
    num_sms: CTAs at most; fewer than tiles, so that they walk.
    num_stages: fewer than a GPU has, so that the ring goes round.
    swapped: the kernel with swapped operands computes it.
    memory: where operands and result lie.
  """

  problem: Bf16GemmProblem
  wanted: tuple[tuple[str, int], ...]
  num_sms: int = 2
  num_stages: int = 3
  swapped: bool = False
  memory: MemoryOrder = ROW_MAJOR

  def config(self) -> Sm90Bf16GemmConfig | Sm90Bf16GemmSwappedConfig:
    legal = legal_swapped_configs if self.swapped else legal_configs
    configs = sorted(legal(self.problem, H200), key=str)
    fits = [
      config
      for config in configs
      if all(getattr(config, name) == value for name, value in self.wanted)
    ]
    return dataclasses.replace(fits[0], num_stages=self.num_stages)

  def id(self) -> str:
    p = self.problem
    flags = [name for name in ("float32_out", "with_c") if getattr(p, name)]
    flags += ["swapped"] * self.swapped
    flags += ["inside"] * (self.memory != ROW_MAJOR)
    wanted = [f"{name}={value}" for name, value in self.wanted]
    size = f"bf16-{layout(p)}-{p.m}x{p.n}x{p.k}"
    return "-".join([size, *wanted, *flags])

  def run(self, emulator, seed):
    return run(self, emulator, seed)

  def expected(self):
    return expected(self.problem)

  def wrong_elements(self, result):
    return wrong_elements(self, result)

  def roles(self, kernel):
    return roles(kernel)


def case(
  name,
  m,
  n,
  k,
  *,
  groups=1,
  num_sms=2,
  num_stages=3,
  swapped=False,
  memory=ROW_MAJOR,
  **fields,
):
  """Returns a case of layout `name`, "nt" for example."""
  flags = {flag: fields.pop(flag, False) for flag in ("float32_out", "with_c")}
  problem = Bf16GemmProblem(
    m, n, k, groups, name[0] == "t", name[1] == "n", **flags
  )
  wanted = tuple(fields.items())
  return Case(problem, wanted, num_sms, num_stages, swapped, memory)


def layout(problem):
  return ("t" if problem.a_mn_major else "n") + (
    "n" if problem.b_mn_major else "t"
  )


@functools.cache
def operands(problem):
  """Returns (a, b, c or None), `[groups, ...]`."""
  a, b = bf16_data.operands(
    problem.m,
    problem.n,
    problem.k,
    layout=layout(problem),
    groups=problem.num_groups,
  )
  shape = (problem.num_groups, problem.m, problem.n)
  c = np.random.default_rng(1).standard_normal(shape) * 1000
  return a, b, c.astype(out_dtype(problem)) if problem.with_c else None


def out_dtype(problem):
  name = np.float32 if problem.float32_out else ml_dtypes.bfloat16
  return np.dtype(name)


def run(case, emulator, seed, arrays=None):
  """Returns D as the emulator computes it, from `operands` unless given."""
  problem = case.problem
  if arrays is None:
    arrays = operands(problem)
  arrays = [None if x is None else jnp.asarray(x) for x in arrays]
  config = case.config()
  with emulated(sm90_bf16_gemm, lambda *args, **kwargs: config, emulator, seed):
    result = sm90_bf16_gemm.run(
      *arrays,
      out_dtype=out_dtype(problem),
      a_mn_major=problem.a_mn_major,
      b_mn_major=problem.b_mn_major,
      options=Options(num_sms=case.num_sms),
      device=H200,
      memory=case.memory,
    )
  return np.asarray(result)


@functools.cache
def expected(problem):
  """Returns D and the largest error that each element may have."""
  arrays = operands(problem)
  exact = bf16_data.product(*arrays, layout=layout(problem))
  size = bf16_data.magnitude(*arrays, layout=layout(problem))
  # Half a unit in the last place of what is stored.
  rounding = 2.0**-24 if problem.float32_out else 2.0**-8
  return exact, SUM_ERROR * size + rounding * np.abs(exact)


def wrong_elements(case, result):
  """Returns indices of the elements that are too far off; NaN always is."""
  exact, bound = expected(case.problem)
  error = np.abs(result.astype(np.float64) - exact)
  return np.argwhere(~(error <= bound))


def roles(kernel):
  """Returns what each warp of a launch does."""
  swapped = kernel.recipe.kernel == "sm90_bf16_gemm_swapped"
  num_math = kernel.threads // 32 - (1 if swapped else 4)
  math = [f"math {i // 4}.{i % 4}" for i in range(num_math)]
  if swapped:
    return [*math, "TMA loads"]
  return [*math, "TMA loads", "idle", "idle", "idle"]
