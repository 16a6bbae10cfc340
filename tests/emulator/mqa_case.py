"""Small problems for the MQA logits, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_mqa_logits import legal_mqa_configs
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_mqa_logits
from jax_deepgemm.primitives.mqa_form import MqaForm
from tests import mqa_data
from tests.emulator.emulated import emulated
from tests.emulator.kernel_case import KernelCase, math_roles
from tests.emulator.wanted import fits, take, words

BITS = 20  # Of float32 sums of a few hundred terms.


@dataclasses.dataclass(frozen=True)
class MqaCase(KernelCase):
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
    """Returns the operands as the kernel takes them."""
    return self.operands()

  def config(self, problem, device):
    legal = self.legal(problem, device)
    config = next(config for config in legal if fits(config, self.wanted))
    return dataclasses.replace(config, num_stages=self.num_stages)

  def run(self, emulator, seed):
    with emulated(self.kernel, self.config, emulator, seed):
      result = self.kernel.run(
        *map(jnp.asarray, self.taken()),
        form=self.form,
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result)

  def expected(self):
    exact, magnitude = _logits(self)
    return exact, magnitude * 2.0**-BITS + np.abs(exact) * 2.0**-8

  def wrong_elements(self, result):
    return mqa_data.wrong(result, *_logits(self), BITS)

  def roles(self, kernel):
    return mqa_roles(kernel)


def case_of(kind, num_rows, num_keys, num_heads, head_dim, ranges, **fields):
  """Returns a `kind` of case; fields that it lacks are the configuration's."""
  sizes = (num_rows, num_keys, num_heads, head_dim)
  own = take(kind, fields)
  return kind(*sizes, tuple(ranges), wanted=tuple(fields.items()), **own)


mqa_case = functools.partial(case_of, MqaCase)


def mqa_roles(kernel, num_decode_warps=0):
  """Returns what each warp of a launch does, paged or not."""
  math = math_roles(kernel.threads // 32 - 4 - num_decode_warps)
  fill = [f"fills {i}" for i in range(3)]
  decode = [f"decodes {i}" for i in range(num_decode_warps)]
  return [*math, "loads", *fill, *decode]


@functools.cache
def _logits(case):
  """Returns the logits and the magnitudes behind them."""
  return case.data.logits(
    *case.operands(), max_seqlen_k=case.max_seqlen_k, fill=case.form.fill
  )
