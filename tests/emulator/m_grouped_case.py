"""Small problems for forms of the M-grouped GEMMs, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.m_grouped_fp8_gemm import legal_grouped_configs
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_m_grouped_fp8_gemm
from tests.emulator import fp8_gemm_case
from tests.emulator.emulated import emulated
from tests.emulator.kernel_case import KernelCase, with_bound
from tests.emulator.wanted import fits, take, words
from tests.gpu.m_grouped_data import RowGroups, operands, out_dtype, product

_operands = functools.cache(operands)


@dataclasses.dataclass(frozen=True)
class GroupedCase(KernelCase):
  """Groups of rows and what is wanted of the configuration; of FP8 operands.

  Attributes:
    groups: the rows.
    n: columns of D.
    k: what is summed over.
    wanted: fields of the configuration; the first legal one is taken.
    float32_out: the result is float32.
    zero_padding: rows of no group are zero though masked.
    num_sms: CTAs at most; fewer than tiles, so that they walk.
    num_stages: fewer than a GPU has, so that the ring goes round.
    claimed: what the kernel is told in place of what `groups` says, of which
      it must make the same.
  """

  groups: RowGroups
  n: int
  k: int
  wanted: tuple[tuple[str, int], ...]
  float32_out: bool = False
  zero_padding: bool = True
  num_sms: int = 2
  num_stages: int = 2
  claimed: tuple[int, ...] | None = None

  def numbers(self) -> np.ndarray:
    """Returns what the layout passes to the kernel."""
    if self.claimed is None:
      return self.groups.array()
    return np.array(self.claimed, np.int32)

  module = sm90_m_grouped_fp8_gemm
  legal = staticmethod(legal_grouped_configs)

  def settings(self):
    """Returns what `module.run` is told beyond groups and launch."""
    return {"recipe_a": (1, 128), "recipe_b": (128, 128)}

  def operands(self):
    """Returns what `module.run` multiplies."""
    return _operands(self.groups, self.n, self.k)

  def product(self):
    """Returns D and the sum of its terms' sizes, in float64."""
    return product(self.groups, *self.operands())

  def run(self, emulator, seed):
    """Returns D, `[rows, n]`, as the emulator computes it."""
    groups, module = self.groups, self.module
    with emulated(module, self.pick, emulator, seed, chooser="choose_grouped"):
      result = module.run(
        *(jnp.asarray(x) for x in self.operands()),
        jnp.asarray(self.numbers()),
        layout=groups.layout,
        alignment=groups.alignment,
        expected_m=None,
        zero_padding=self.zero_padding,
        out_dtype=out_dtype(self.float32_out),
        **self.settings(),
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result).reshape(groups.num_rows, self.n)

  def defined(self):
    """Returns whether each row must be written."""
    return (self.groups.ids() >= 0) | self.zero_padding

  def wrong_elements(self, result):
    wrong = super().wrong_elements(result)
    return wrong[self.defined()[wrong[:, 0]]]

  def expected(self):
    return _expected(self)

  def roles(self, kernel):
    return [*fp8_gemm_case.roles(kernel)[:-2], "zeros", "zeros"]

  def pick(self, problem, device, **options):
    """Returns the configuration, in the place of choose_grouped."""
    del device, options
    # Wide enough that clusters along M are legal.
    problem = dataclasses.replace(problem, expected_m=problem.m)
    configs = sorted(self.legal(problem, H200), key=str)
    config = next(c for c in configs if fits(c, self.wanted))
    return dataclasses.replace(config, num_stages=self.num_stages)

  def id(self):
    sizes = "_".join(str(size) for size in self.groups.sizes)
    wanted = words(self.wanted)
    shape = f"{sizes}x{self.n}x{self.k}"
    wanted += ["claimed"] if self.claimed else []
    return "-".join([self.groups.layout, shape, *wanted])


def grouped_case(layout, sizes, n, k, *, m, alignment=1, **fields):
  return make(GroupedCase, layout, sizes, n, k, m, alignment, fields)


def make(kind, layout, sizes, n, k, m, alignment, fields):
  """Returns a `kind` of case; fields that it lacks are the configuration's."""
  others = take(kind, fields)
  groups = RowGroups(layout, tuple(sizes), m, alignment)
  return kind(groups, n, k, tuple(fields.items()), **others)


@functools.cache
def _expected(case):
  return with_bound(*case.product(), case.float32_out)
