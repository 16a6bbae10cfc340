"""Small problems for the K-grouped BF16 GEMM, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_k_grouped_bf16_gemm import (
  KGroupedBf16GemmProblem,
  legal_k_grouped_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_k_grouped_bf16_gemm
from tests import k_grouped_bf16_data as data
from tests.emulator.bf16_gemm_case import SUM_ERROR
from tests.emulator.emulated import emulated
from tests.emulator.k_grouped_case import KCase, rounding


@dataclasses.dataclass(frozen=True)
class KBf16Case(KCase):
  """As `KCase`, of bfloat16 operands whose groups begin at any row.

  Attributes:
    sizes: rows of A and B in each group.
    gap: rows behind each group that are NaN.
    spare: rows behind the last one that are NaN.
    claimed_starts: what the kernel is told of the starts, if that is wrong.
  """

  num_stages: int = 3
  gap: int = 0
  spare: int = 9
  claimed_starts: tuple[int, ...] | None = None

  @property
  def problem(self) -> KGroupedBf16GemmProblem:
    num_rows = data.num_rows(self.sizes, self.gap, self.spare)
    return KGroupedBf16GemmProblem(
      self.m,
      self.n,
      num_rows,
      len(self.sizes),
      self.with_c,
      self.float32_out,
    )

  def legal(self):
    return legal_k_grouped_configs(self.problem, H200)

  def id(self) -> str:
    gap = f"-gap={self.gap}" if self.gap else ""
    return f"bf16-{super().id()}{gap}"

  def run(self, emulator, seed):
    return run(self, emulator, seed)

  def expected(self):
    return expected(self)

  def wrong_elements(self, result):
    exact, bound = expected(self)
    error = np.abs(result.astype(np.float64) - exact)
    return np.argwhere(~(error <= bound))

  def roles(self, kernel):
    num_math = kernel.threads // 32 - 4
    math = [f"math {i // 4}.{i % 4}" for i in range(num_math)]
    return [*math, "TMA loads", "cuts", "idle", "idle"]


def k_bf16_case(m, n, sizes, **fields):
  names = {field.name for field in dataclasses.fields(KBf16Case)}
  own = {name: fields.pop(name) for name in names & fields.keys()}
  return KBf16Case(m, n, tuple(sizes), wanted=tuple(fields.items()), **own)


@functools.cache
def operands(case):
  """Returns a, b, starts, sizes, c or None as the kernel takes them."""
  rows = {"gap": case.gap, "spare": case.spare}
  a = data.operand(case.m, case.sizes, **rows, seed=1)
  b = data.operand(case.n, case.sizes, **rows, seed=2)
  starts = case.claimed_starts or data.starts_of(case.sizes, case.gap)
  shape = (len(case.sizes), case.m, case.n)
  c = np.random.default_rng(3).standard_normal(shape) * 1000
  return (
    a,
    b,
    np.array(starts, np.int32),
    np.array(case.claimed or case.sizes, np.int32),
    c.astype(np.float32) if case.with_c else None,
  )


def run(case, emulator, seed):
  """Returns D as the emulator computes it."""
  arrays = [None if x is None else jnp.asarray(x) for x in operands(case)]
  kernel = sm90_k_grouped_bf16_gemm
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
  a, b, _, _, c = operands(case)
  exact, magnitude = data.expected(a, b, case.sizes, c, gap=case.gap)
  return exact, SUM_ERROR * magnitude + rounding(case) * np.abs(exact)
