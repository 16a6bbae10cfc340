"""Small problems for forms of the FP8 GEMM with FP4 weights."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm import (
  Fp8Fp4GemmProblem,
  Sm90Fp8Fp4GemmConfig,
  legal_configs,
)
from jax_deepgemm.heuristics.sm90_fp8_fp4_gemm_swapped import (
  Sm90Fp8Fp4GemmSwappedConfig,
  legal_swapped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_fp4_gemm
from tests.emulator.emulated import emulated
from tests.emulator.fp8_gemm_case import SUM_ERROR, out_dtype
from tests.gpu.fp4_data import NARROW, fp4_operands, fp4_product


@dataclasses.dataclass(frozen=True)
class Fp4Case:
  """A problem and what is wanted of its configuration.

  Attributes:
    problem: what is computed.
    wanted: fields of the configuration; the first legal one is taken.
    exponents: of B, from the first to before the second.
    num_sms: CTAs at most; fewer than tiles, so that they walk.
    num_stages: fewer than a GPU has, so that the ring goes round.
    swapped: the kernel with swapped operands computes it.
  """

  problem: Fp8Fp4GemmProblem
  wanted: tuple[tuple[str, int], ...]
  exponents: tuple[int, int] = NARROW
  num_sms: int = 2
  num_stages: int = 2
  swapped: bool = False

  def config(self) -> Sm90Fp8Fp4GemmConfig | Sm90Fp8Fp4GemmSwappedConfig:
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
    wanted = [f"{name}={value}" for name, value in self.wanted]
    exponents = [f"exponents={'-'.join(map(str, self.exponents))}"]
    return "-".join([f"fp4-{p.m}x{p.n}x{p.k}", *wanted, *flags, *exponents])

  def operands(self):
    """Returns (a, sfa, b, sfb, c or None), `[groups, ...]`."""
    return _operands(self.problem, self.exponents)

  def run(self, emulator, seed, arrays=None):
    return run(self, emulator, seed, arrays)

  def expected(self):
    return expected(self.problem, self.exponents)

  def wrong_elements(self, result):
    exact, bound = self.expected()
    error = np.abs(result.astype(np.float64) - exact)
    return np.argwhere(~(error <= bound))

  def roles(self, kernel):
    return roles(kernel)


def fp4_case(m, n, k, *, groups=1, **fields):
  names = {field.name for field in dataclasses.fields(Fp8Fp4GemmProblem)}
  flags = {name: fields.pop(name) for name in names & fields.keys()}
  names = {field.name for field in dataclasses.fields(Fp4Case)}
  others = {name: fields.pop(name) for name in names & fields.keys()}
  problem = Fp8Fp4GemmProblem(m, n, k, groups, **flags)
  return Fp4Case(problem, tuple(fields.items()), **others)


@functools.cache
def _operands(problem, exponents):
  a, b = fp4_operands(
    problem.m,
    problem.n,
    problem.k,
    groups=problem.num_groups,
    exponents=exponents,
  )
  shape = (problem.num_groups, problem.m, problem.n)
  c = np.random.default_rng(1).standard_normal(shape) * 1000
  return *a, *b, c.astype(out_dtype(problem)) if problem.with_c else None


def run(case, emulator, seed, arrays=None):
  """Returns D as the emulator computes it, from `operands` unless given."""
  arrays = case.operands() if arrays is None else arrays
  arrays = [None if x is None else jnp.asarray(x) for x in arrays]
  config = case.config()
  with emulated(
    sm90_fp8_fp4_gemm, lambda *args, **kwargs: config, emulator, seed
  ):
    result = sm90_fp8_fp4_gemm.run(
      *arrays,
      out_dtype=out_dtype(case.problem),
      options=Options(num_sms=case.num_sms),
      device=H200,
    )
  return np.asarray(result)


@functools.cache
def expected(problem, exponents):
  """Returns D and the largest error that each element may have."""
  a, sfa, b, sfb, c = _operands(problem, exponents)
  exact = fp4_product((a, sfa), (b, sfb), c)
  size = fp4_product(
    (np.abs(a.astype(np.float32)), sfa), (b & 0x77, sfb), _magnitude(c)
  )
  rounding = 2.0**-24 if problem.float32_out else 2.0**-8
  return exact, SUM_ERROR * size + rounding * np.abs(exact)


def _magnitude(c):
  return None if c is None else np.abs(c.astype(np.float32))


def roles(kernel):
  """Returns what each warp of a launch does."""
  swapped = kernel.recipe.kernel.endswith("fp8_fp4_gemm_swapped")
  num_warps = kernel.threads // 32
  # At most four warps reorder tokens.
  num_math = (num_warps - 2) // 4 * 4 if swapped else num_warps - 8
  math = [f"math {i // 4}.{i % 4}" for i in range(num_math)]
  if swapped:
    tokens = [f"tokens {i}" for i in range(num_warps - num_math - 1)]
    return [*math, "loads", *tokens]
  decode = [f"decoding {i}" for i in range(4)]
  return [*math, "TMA loads", "idle", "idle", "idle", *decode]
