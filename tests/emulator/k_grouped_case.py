"""Small problems for the K-grouped FP8 GEMM, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
  Sm90KGroupedFp8GemmConfig,
  legal_k_grouped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_k_grouped_fp8_gemm
from tests.emulator.emulated import emulated
from tests.emulator.fp8_gemm_case import roles
from tests.k_grouped_data import (
  blocks_of,
  dense_groups,
  packed_operand,
  product,
)


@dataclasses.dataclass(frozen=True)
class KCase:
  """A problem, its groups, and what is wanted of its configuration.

  Attributes:
    sizes: elements of K in each group.
    spare_blocks: K blocks of the arrays behind the last group.
    claimed: what the kernel is told of the sizes, if that is wrong.
    wanted: fields of the tile's configuration; the first legal one is taken.
  """

  m: int
  n: int
  sizes: tuple[int, ...]
  with_c: bool = False
  float32_out: bool = True
  num_parts: int = 1
  num_sms: int = 2
  num_stages: int = 2
  spare_blocks: int = 1
  claimed: tuple[int, ...] | None = None
  wanted: tuple[tuple[str, int], ...] = ()

  @property
  def problem(self) -> KGroupedFp8GemmProblem:
    blocks = sum(map(blocks_of, self.sizes)) + self.spare_blocks
    return KGroupedFp8GemmProblem(
      self.m,
      self.n,
      max(blocks, 1),
      len(self.sizes),
      self.with_c,
      self.float32_out,
    )

  @property
  def out_dtype(self) -> np.dtype:
    return np.dtype(np.float32 if self.float32_out else jnp.bfloat16)

  def legal(self):
    return legal_k_grouped_configs(self.problem, H200)

  def config(self) -> Sm90KGroupedFp8GemmConfig:
    configs = sorted(self.legal(), key=str)
    fits = [
      config
      for config in configs
      if config.num_parts == self.num_parts
      and all(getattr(config.gemm, name) == x for name, x in self.wanted)
    ]
    gemm = dataclasses.replace(fits[0].gemm, num_stages=self.num_stages)
    return dataclasses.replace(fits[0], gemm=gemm)

  def id(self) -> str:
    wanted = [f"{name}={value}" for name, value in self.wanted]
    sizes = "+".join(map(str, self.sizes[:6]))
    more = ["with_c"] if self.with_c else []
    more += [] if self.float32_out else ["bf16_out"]
    more += [f"parts={self.num_parts}"] if self.num_parts > 1 else []
    more += ["wrong_sizes"] if self.claimed else []
    return "-".join(["k", f"{self.m}x{self.n}", sizes, *wanted, *more])

  def run(self, emulator, seed):
    return run(self, emulator, seed)

  def expected(self):
    return expected(self)

  def wrong_elements(self, result):
    return wrong_elements(self, result)

  def roles(self, kernel):
    return roles(kernel)


def k_case(m, n, sizes, **fields):
  names = {field.name for field in dataclasses.fields(KCase)}
  own = {name: fields.pop(name) for name in names & fields.keys()}
  return KCase(m, n, tuple(sizes), wanted=tuple(fields.items()), **own)


@functools.cache
def operands(case):
  """Returns a, sfa, b, sfb, sizes, c or None as the kernel takes them."""
  blocks = case.problem.num_k_blocks
  a = packed_operand(case.m, case.sizes, blocks, 1)
  b = packed_operand(case.n, case.sizes, blocks, 2)
  shape = (len(case.sizes), case.m, case.n)
  c = np.random.default_rng(3).standard_normal(shape) * 1000
  sizes = np.array(case.claimed or case.sizes, np.int32)
  return *a, *b, sizes, c.astype(np.float32) if case.with_c else None


def run(case, emulator, seed):
  """Returns D as the emulator computes it."""
  arrays = [None if x is None else jnp.asarray(x) for x in operands(case)]
  kernel = sm90_k_grouped_fp8_gemm
  config = case.config()
  with emulated(kernel, lambda *args, **kwargs: config, emulator, seed):
    result = kernel.run(
      *arrays,
      out_dtype=case.out_dtype,
      options=Options(num_sms=case.num_sms),
      device=H200,
    )
  return np.asarray(result)


@functools.cache
def expected(case):
  """Returns D and the largest error that each element may have."""
  a, sfa, b, sfb, _, c = operands(case)
  exact, magnitude = product(
    dense_groups(a, sfa, case.sizes), dense_groups(b, sfb, case.sizes), c
  )
  # float32 sums of a K block, and of the blocks, in some order.
  return exact, 1e-6 * magnitude + rounding(case) * np.abs(exact)


def rounding(case):
  """Returns the relative error of a result that is rounded once."""
  return 2.0**-24 if case.float32_out else 2.0**-8


def wrong_elements(case, result):
  """Returns indices of the elements that are too far off; NaN always is."""
  exact, bound = expected(case)
  return np.argwhere(~(np.abs(result.astype(np.float64) - exact) <= bound))
