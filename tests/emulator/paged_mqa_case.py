"""Small problems for the paged MQA logits, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  legal_paged_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_paged_mqa_logits
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from tests import paged_mqa_data
from tests.emulator.emulated import emulated

_BITS = 20  # Of float32 sums of a few hundred terms.


@dataclasses.dataclass(frozen=True)
class PagedMqaCase:
  """A problem, and what is wanted of the kernel.

  Attributes:
    lens: of each row of each sequence.
    width: columns of the result.
    wild: the table's needed entries lie far outside of the pages, too.
    rounds: stages for each warpgroup.
    wanted: fields of the configuration; the first legal one is taken.
  """

  lens: tuple[tuple[int, ...], ...]
  num_heads: int
  head_dim: int
  block_kv: int
  max_blocks: int
  width: int
  indices: tuple[int, ...] | None = None
  clean: bool = False
  wild: bool = False
  float32_out: bool = True
  num_sms: int = 2
  rounds: int = 2
  wanted: tuple[tuple[str, int], ...] = ()

  def id(self) -> str:
    sizes = (len(self.lens), len(self.lens[0]), self.num_heads, self.head_dim)
    text = "x".join(map(str, sizes)) + f"-pages={self.max_blocks}"
    text += f"of{self.block_kv}-width={self.width}"
    more = [f"{name}={value}" for name, value in self.wanted]
    more += ["clean"] if self.clean else []
    more += ["wild"] if self.wild else []
    more += ["varlen"] if self.indices else []
    more += [] if self.float32_out else ["bf16_out"]
    more += [f"ctas={self.num_sms}"] if self.num_sms != 2 else []
    return "-".join(["paged", text, *more])

  @property
  def form(self) -> PagedMqaForm:
    dtype = np.dtype(np.float32 if self.float32_out else jnp.bfloat16)
    is_varlen = self.indices is not None
    return PagedMqaForm(dtype, self.clean, self.width, is_varlen)

  @property
  def fill(self) -> float:
    """What is beyond the keys: what the emulator leaves there is NaN."""
    return -np.inf if self.clean else np.nan

  def config(self, problem, device, legal=legal_paged_mqa_configs):
    fits = [
      config
      for config in legal(problem, device)
      if all(getattr(config, name) == x for name, x in self.wanted)
    ]
    stages = self.rounds * fits[0].num_math_warpgroups
    return dataclasses.replace(fits[0], num_stages=stages)

  def run(self, emulator, seed):
    return run(self, emulator, seed)

  def expected(self):
    exact, magnitude = paged_mqa_data.logits(
      self.operands(), self.width, self.fill
    )
    return exact, magnitude * 2.0**-_BITS + np.abs(exact) * 2.0**-8

  def wrong_elements(self, result):
    return paged_mqa_data.wrong(result, self.operands(), _BITS, self.fill)

  def operands(self):
    return _operands(self)

  def roles(self, kernel):
    math = kernel.threads // 32 - 4
    names = [f"math {i // 4}.{i % 4}" for i in range(math)]
    return [*names, "loads", *(f"fills {i}" for i in range(3))]


def paged_case(
  lens, num_heads, head_dim, block_kv, max_blocks, width, **fields
):
  """Returns a case; a plain length is that of the one row of a sequence."""
  return case_of(
    PagedMqaCase,
    lens,
    num_heads,
    head_dim,
    block_kv,
    max_blocks,
    width,
    **fields,
  )


def case_of(
  kind, lens, num_heads, head_dim, block_kv, max_blocks, width, **fields
):
  names = {field.name for field in dataclasses.fields(kind)}
  own = {name: fields.pop(name) for name in names & fields.keys()}
  return kind(
    tuple(x if isinstance(x, tuple) else (x,) for x in lens),
    num_heads,
    head_dim,
    block_kv,
    max_blocks,
    width,
    wanted=tuple(fields.items()),
    **own,
  )


@functools.cache
def _operands(case):
  return paged_mqa_data.operands(
    case.lens,
    case.num_heads,
    case.head_dim,
    case.block_kv,
    case.max_blocks,
    indices=case.indices,
    wild=case.wild,
  )


def run(case, emulator, seed):
  """Returns the logits as the emulator computes them."""
  kernel = sm90_fp8_paged_mqa_logits
  given = case.operands()
  batch, next_n = given.lens.shape
  arrays = [
    given.q,
    given.cache.reshape(len(given.cache), -1),
    given.weights.reshape(batch, next_n, -1),
    given.lens,
    given.table,
  ]
  arrays += [] if given.indices is None else [given.indices]
  with emulated(kernel, case.config, emulator, seed):
    result = kernel.run(
      *map(jnp.asarray, arrays),
      form=case.form,
      options=Options(num_sms=case.num_sms),
      device=H200,
    )
  return np.asarray(result).reshape(batch * next_n, -1)
