"""Small problems for the K-grouped FP8 GEMM, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_fp8_gemm import (
  KGroupedFp8GemmProblem,
  legal_k_grouped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_k_grouped_fp8_gemm
from tests.emulator.emulated import emulated
from tests.emulator.fp8_gemm_case import roles
from tests.emulator.kernel_case import KernelCase, with_bound
from tests.emulator.wanted import fits, take, words
from tests.gpu.m_grouped_data import out_dtype
from tests.k_grouped_data import (
  blocks_of,
  dense_groups,
  packed_operand,
  product,
)


@dataclasses.dataclass(frozen=True)
class KCase(KernelCase):
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

  module = sm90_k_grouped_fp8_gemm

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

  def legal(self):
    return legal_k_grouped_configs(self.problem, H200)

  def config(self):
    config = next(
      config
      for config in sorted(self.legal(), key=str)
      if config.num_parts == self.num_parts and fits(config.gemm, self.wanted)
    )
    gemm = dataclasses.replace(config.gemm, num_stages=self.num_stages)
    return dataclasses.replace(config, gemm=gemm)

  def id(self):
    sizes = "+".join(map(str, self.sizes[:6]))
    more = ["with_c"] if self.with_c else []
    more += [] if self.float32_out else ["bf16_out"]
    more += [f"parts={self.num_parts}"] if self.num_parts > 1 else []
    more += ["wrong_sizes"] if self.claimed else []
    more = [*words(self.wanted), *more]
    return "-".join(["k", f"{self.m}x{self.n}", sizes, *more])

  def operands(self):
    """Returns a, sfa, b, sfb, sizes, c or None as the kernel takes them."""
    blocks = self.problem.num_k_blocks
    a = packed_operand(self.m, self.sizes, blocks, 1)
    b = packed_operand(self.n, self.sizes, blocks, 2)
    return *a, *b, np.array(self.claimed or self.sizes, np.int32), self.addend()

  def addend(self):
    """Returns C or None."""
    if not self.with_c:
      return None
    shape = (len(self.sizes), self.m, self.n)
    c = np.random.default_rng(3).standard_normal(shape) * 1000
    return c.astype(np.float32)

  def product(self):
    """Returns D and the sum of its terms' sizes, in float64."""
    a, sfa, b, sfb, _, c = self.operands()
    return product(
      dense_groups(a, sfa, self.sizes), dense_groups(b, sfb, self.sizes), c
    )

  def run(self, emulator, seed):
    config = self.config()
    with emulated(self.module, lambda *args, **kwargs: config, emulator, seed):
      result = self.module.run(
        *(None if x is None else jnp.asarray(x) for x in _operands(self)),
        out_dtype=out_dtype(self.float32_out),
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result)

  def expected(self):
    return _expected(self)

  def roles(self, kernel):
    return roles(kernel)


def k_case(m, n, sizes, **fields):
  return case_of(KCase, m, n, sizes, fields)


def case_of(kind, m, n, sizes, fields):
  """Returns a `kind` of case; fields that it lacks are the configuration's."""
  own = take(kind, fields)
  return kind(m, n, tuple(sizes), wanted=tuple(fields.items()), **own)


@functools.cache
def _operands(case):
  return case.operands()


@functools.cache
def _expected(case):
  return with_bound(*case.product(), case.float32_out)
