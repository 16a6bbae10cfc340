"""Small problems for one form of a dense GEMM each, and how to run them."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from jax_deepgemm.primitives.memory_order import ROW_MAJOR, MemoryOrder
from tests.emulator.emulated import emulated
from tests.emulator.kernel_case import KernelCase, with_bound
from tests.emulator.wanted import fits, words
from tests.gpu.m_grouped_data import out_dtype


@dataclasses.dataclass(frozen=True)
class DenseCase(KernelCase):
  """A problem and what is wanted of its configuration.

  A kind of case says which `module` computes it, in which `legal` and
  `legal_swapped` configurations, and what of its problem is in its name as
  `flags`.

  Attributes:
    problem: what is computed.
    wanted: fields of the configuration; the first legal one is taken.
    num_sms: CTAs at most; fewer than tiles, so that they walk.
    num_stages: fewer than a GPU has, so that the ring goes round.
    swapped: the kernel with swapped operands computes it.
    memory: where operands and result lie.
  """

  problem: Any
  wanted: tuple[tuple[str, int], ...]
  num_sms: int = 2
  num_stages: int = 3
  swapped: bool = False
  memory: MemoryOrder = ROW_MAJOR

  flags = ("float32_out", "with_c")

  def config(self):
    configs = sorted(self.legal_configs(), key=str)
    config = next(c for c in configs if fits(c, self.wanted))
    return dataclasses.replace(config, num_stages=self.num_stages)

  def legal_configs(self):
    """Returns the configurations of the kernel that computes it."""
    legal = self.legal_swapped if self.swapped else self.legal
    return legal(self.problem, H200)

  def id(self):
    p = self.problem
    flags = [name for name in self.flags if getattr(p, name)]
    flags += ["swapped"] * self.swapped
    flags += ["inside"] * (self.memory != ROW_MAJOR)
    return "-".join([f"{p.m}x{p.n}x{p.k}", *words(self.wanted), *flags])

  def settings(self):
    """Returns what `module.run` is told beyond operands and launch."""
    return {}

  def operands(self):
    """Returns what `module.run` multiplies, and c or None, `[groups, ...]`."""
    raise NotImplementedError

  def product(self):
    """Returns D and the sum of its terms' sizes, in float64."""
    raise NotImplementedError

  def run(self, emulator, seed, arrays=None):
    """Returns D as the emulator computes it, from `operands` unless given."""
    arrays = self.operands() if arrays is None else arrays
    config = self.config()
    with emulated(self.module, lambda *args, **kwargs: config, emulator, seed):
      result = self.module.run(
        *(None if x is None else jnp.asarray(x) for x in arrays),
        out_dtype=out_dtype(self.problem.float32_out),
        **self.settings(),
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result)

  def expected(self):
    return _expected(self)


@functools.cache
def _expected(case):
  return with_bound(*case.product(), case.problem.float32_out)


def addend(problem, num_groups):
  """Returns C, `[groups, m, n]`, or None."""
  if not problem.with_c:
    return None
  shape = (num_groups, problem.m, problem.n)
  c = np.random.default_rng(1).standard_normal(shape) * 1000
  return c.astype(out_dtype(problem.float32_out))
