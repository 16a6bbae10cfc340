"""Small problems for the MQA logits, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import legal_mqa_configs
from jax_deepgemm.primitives import sm90_fp8_mqa_logits
from jax_deepgemm.primitives.mqa_form import MqaForm
from tests import mqa_data
from tests.emulator.logits_case import BITS, LogitsCase, with_logits_bound
from tests.emulator.wanted import fits, take, words


@dataclasses.dataclass(frozen=True)
class MqaCase(LogitsCase):
  """A problem, the ranges of its rows, and what is wanted of the kernel.

  Attributes:
    ranges: of the first rows, again and again.
    max_seqlen_k: columns of compressed logits, or 0.
    wanted: fields of the configuration; the first legal one is taken.
  """

  num_rows: int
  num_keys: int
  num_heads: int
  head_dim: int
  ranges: tuple[tuple[int, int], ...]
  clean: bool = True
  max_seqlen_k: int = 0
  float32_out: bool = True
  num_sms: int = 2
  num_stages: int = 2
  wanted: tuple[tuple[str, int], ...] = ()

  kernel = sm90_fp8_mqa_logits
  legal = staticmethod(legal_mqa_configs)
  data = mqa_data

  def id(self):
    sizes = f"{self.num_rows}x{self.num_keys}x{self.num_heads}x{self.head_dim}"
    ranges = [f"{start}+{end}" for start, end in self.ranges[:3]]
    more = [] if self.clean else ["zeros"]
    more += [f"columns={self.max_seqlen_k}"] if self.max_seqlen_k else []
    more += [] if self.float32_out else ["bf16_out"]
    more += [f"ctas={self.num_sms}"] if self.num_sms != 2 else []
    return "-".join(["mqa", sizes, *ranges, *words(self.wanted), *more])

  @property
  def form(self) -> MqaForm:
    dtype = np.dtype(np.float32 if self.float32_out else jnp.bfloat16)
    return MqaForm(dtype, self.clean, self.max_seqlen_k)

  def operands(self):
    """Returns what `data` makes the logits of."""
    return self.data.operands(
      self.num_rows,
      self.num_keys,
      self.num_heads,
      self.head_dim,
      list(self.ranges),
      *self.exponents(),
    )

  def exponents(self):
    """Returns what else `data` is told of the operands."""
    return ()

  def taken(self):
    return self.operands()

  def config(self, problem, device):
    legal = self.legal(problem, device)
    config = next(config for config in legal if fits(config, self.wanted))
    return dataclasses.replace(config, num_stages=self.num_stages)

  def expected(self):
    return with_logits_bound(*_logits(self))

  def wrong_elements(self, result):
    return mqa_data.wrong(result, *_logits(self), BITS)


def case_of(kind, num_rows, num_keys, num_heads, head_dim, ranges, **fields):
  """Returns a `kind` of case; fields that it lacks are the configuration's."""
  sizes = (num_rows, num_keys, num_heads, head_dim)
  own = take(kind, fields)
  return kind(*sizes, tuple(ranges), wanted=tuple(fields.items()), **own)


mqa_case = functools.partial(case_of, MqaCase)


@functools.cache
def _logits(case):
  """Returns the logits and the magnitudes behind them."""
  return case.data.logits(
    *case.operands(), max_seqlen_k=case.max_seqlen_k, fill=case.form.fill
  )
