"""Small problems for one form of the FP8 GEMM each, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_gemm import (
  Fp8GemmProblem,
  Sm90Fp8GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_gemm_swapped import (
  Sm90Fp8GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_gemm
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from tests.emulator.emulated import emulated
from tests.gpu.gemm_data import dequantize, product, scaled_operands

# float32 sums of a K block, and of the blocks, in some order.
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

  problem: Fp8GemmProblem
  wanted: tuple[tuple[str, int], ...]
  num_sms: int = 2
  num_stages: int = 3
  swapped: bool = False
  memory: MemoryOrder = ROW_MAJOR

  def config(self) -> Sm90Fp8GemmConfig | Sm90Fp8GemmSwappedConfig:
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
    flags = [
      name
      for name in ("sfb_per_row", "float32_out", "with_c")
      if getattr(p, name)
    ]
    wanted = [f"{name}={value}" for name, value in self.wanted]
    flags += ["swapped"] * self.swapped
    flags += ["inside"] * (self.memory != ROW_MAJOR)
    return "-".join([f"{p.m}x{p.n}x{p.k}", *wanted, *flags])

  def run(self, emulator, seed):
    return run(self, emulator, seed)

  def expected(self):
    return expected(self.problem)

  def wrong_elements(self, result):
    return wrong_elements(self, result)

  def roles(self, kernel):
    return roles(kernel)


def case(
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
  names = {field.name for field in dataclasses.fields(Fp8GemmProblem)}
  flags = {name: fields.pop(name) for name in names & fields.keys()}
  problem = Fp8GemmProblem(m, n, k, groups, **flags)
  wanted = tuple(fields.items())
  return Case(problem, wanted, num_sms, num_stages, swapped, memory)


@functools.cache
def operands(problem):
  """Returns (a, sfa, b, sfb, c or None), `[groups, ...]`."""
  a, b = scaled_operands(
    problem.m,
    problem.n,
    problem.k,
    groups=problem.num_groups,
    sfb_per_row=problem.sfb_per_row,
  )
  shape = (problem.num_groups, problem.m, problem.n)
  c = np.random.default_rng(1).standard_normal(shape) * 1000
  return *a, *b, c.astype(out_dtype(problem)) if problem.with_c else None


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
  with emulated(sm90_fp8_gemm, lambda *args, **kwargs: config, emulator, seed):
    result = sm90_fp8_gemm.run(
      *arrays,
      out_dtype=out_dtype(problem),
      recipe_a=(1, 128),
      recipe_b=(1 if problem.sfb_per_row else 128, 128),
      options=Options(num_sms=case.num_sms),
      device=H200,
      memory=case.memory,
    )
  return np.asarray(result)


@functools.cache
def expected(problem):
  """Returns D and the largest error that each element may have."""
  a, sfa, b, sfb, c = operands(problem)
  exact = product((a, sfa), (b, sfb), c)
  left, right = np.abs(dequantize(a, sfa)), np.abs(dequantize(b, sfb))
  size = left @ np.swapaxes(right, -1, -2)
  if c is not None:
    size += np.abs(c.astype(np.float64))
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
  swapped = kernel.recipe.kernel == "sm90_fp8_gemm_swapped"
  num_math = kernel.threads // 32 - (1 if swapped else 4)
  math = [f"math {i // 4}.{i % 4}" for i in range(num_math)]
  if swapped:
    return [*math, "TMA loads"]
  return [*math, "TMA loads", "scale loads", "idle", "idle"]
