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
from tests.gpu.m_grouped_data import RowGroups, operands, out_dtype, product

_operands = functools.cache(operands)


@dataclasses.dataclass(frozen=True)
class GroupedCase:
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
    return run(self, emulator, seed)

  def wrong_elements(self, result):
    return wrong_elements(self, result)

  def expected(self):
    return expected(self)

  def roles(self, kernel):
    return roles(kernel)

  def pick(self, problem, device, **options):
    """Returns the configuration, in the place of choose_grouped."""
    del device, options
    # Wide enough that clusters along M are legal.
    problem = dataclasses.replace(problem, expected_m=problem.m)
    fits = [
      config
      for config in sorted(self.legal(problem, H200), key=str)
      if all(getattr(config, name) == value for name, value in self.wanted)
    ]
    return dataclasses.replace(fits[0], num_stages=self.num_stages)

  def id(self) -> str:
    sizes = "_".join(str(size) for size in self.groups.sizes)
    wanted = [f"{name}={value}" for name, value in self.wanted]
    shape = f"{sizes}x{self.n}x{self.k}"
    wanted += ["claimed"] if self.claimed else []
    return "-".join([self.groups.layout, shape, *wanted])


def grouped_case(layout, sizes, n, k, *, m, alignment=1, **fields):
  return make(GroupedCase, layout, sizes, n, k, m, alignment, fields)


def make(kind, layout, sizes, n, k, m, alignment, fields):
  """Returns a `kind` of case; fields that it lacks are the configuration's."""
  names = {field.name for field in dataclasses.fields(kind)}
  others = {name: fields.pop(name) for name in names & fields.keys()}
  groups = RowGroups(layout, tuple(sizes), m, alignment)
  return kind(groups, n, k, tuple(fields.items()), **others)


def run(case, emulator, seed):
  """Returns D as the emulator computes it."""
  groups = case.groups
  module = case.module
  with emulated(module, case.pick, emulator, seed, chooser="choose_grouped"):
    result = module.run(
      *(jnp.asarray(x) for x in case.operands()),
      jnp.asarray(case.numbers()),
      layout=groups.layout,
      alignment=groups.alignment,
      expected_m=None,
      zero_padding=case.zero_padding,
      out_dtype=out_dtype(case.float32_out),
      **case.settings(),
      options=Options(num_sms=case.num_sms),
      device=H200,
    )
  return np.asarray(result).reshape(groups.num_rows, case.n)


@functools.cache
def expected(case):
  """Returns D and the largest error that each element may have."""
  exact, size = case.product()
  rounding = 2.0**-24 if case.float32_out else 2.0**-8
  return exact, fp8_gemm_case.SUM_ERROR * size + rounding * np.abs(exact)


def wrong_elements(case, result):
  """Returns indices of the elements that are too far off; NaN always is."""
  exact, bound = expected(case)
  error = np.abs(result.astype(np.float64) - exact)
  wrong = ~(error <= bound)
  if not case.zero_padding:
    wrong &= case.groups.ids()[:, None] >= 0
  return np.argwhere(wrong)


def roles(kernel):
  """Returns what each warp of a launch does."""
  return [*fp8_gemm_case.roles(kernel)[:-2], "zeros", "zeros"]
