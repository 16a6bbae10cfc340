"""Small problems for the paged MQA logits, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.sm90_fp8_paged_mqa_logits import (
  legal_paged_mqa_configs,
)
from jax_deepgemm.primitives import sm90_fp8_paged_mqa_logits
from jax_deepgemm.primitives.paged_mqa_form import PagedMqaForm
from tests import paged_mqa_data
from tests.emulator.logits_case import BITS, LogitsCase, with_logits_bound
from tests.emulator.wanted import fits, take, words


@dataclasses.dataclass(frozen=True)
class PagedMqaCase(LogitsCase):
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

  kernel = sm90_fp8_paged_mqa_logits
  legal = staticmethod(legal_paged_mqa_configs)
  make_operands = staticmethod(paged_mqa_data.operands)

  def id(self):
    sizes = (len(self.lens), len(self.lens[0]), self.num_heads, self.head_dim)
    text = "x".join(map(str, sizes)) + f"-pages={self.max_blocks}"
    text += f"of{self.block_kv}-width={self.width}"
    more = words(self.wanted)
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

  def config(self, problem, device):
    legal = self.legal(problem, device)
    config = next(config for config in legal if fits(config, self.wanted))
    stages = self.rounds * config.num_math_warpgroups
    return dataclasses.replace(config, num_stages=stages)

  def taken(self):
    given = self.operands()
    return [
      given.q,
      given.cache.reshape(len(given.cache), -1),
      given.weights.reshape(*given.lens.shape, -1),
      given.lens,
      given.table,
      *self.scales(),
      *([] if given.indices is None else [given.indices]),
    ]

  def scales(self):
    """Returns what the kernel takes between the table and the indices."""
    return []

  def expected(self):
    logits = paged_mqa_data.logits(self.operands(), self.width, self.fill)
    return with_logits_bound(*logits)

  def wrong_elements(self, result):
    return paged_mqa_data.wrong(result, self.operands(), BITS, self.fill)

  def operands(self):
    return _operands(self)

  def exponents(self):
    """Returns what else `make_operands` is told."""
    return {}


def case_of(
  kind, lens, num_heads, head_dim, block_kv, max_blocks, width, **fields
):
  """Returns a case; a plain length is that of the one row of a sequence."""
  sizes = (num_heads, head_dim, block_kv, max_blocks, width)
  lens = tuple(x if isinstance(x, tuple) else (x,) for x in lens)
  own = take(kind, fields)
  return kind(lens, *sizes, wanted=tuple(fields.items()), **own)


paged_case = functools.partial(case_of, PagedMqaCase)


@functools.cache
def _operands(case):
  return case.make_operands(
    case.lens,
    case.num_heads,
    case.head_dim,
    case.block_kv,
    case.max_blocks,
    indices=case.indices,
    wild=case.wild,
    **case.exponents(),
  )
