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

BITS = 20  # Of float32 sums of a few hundred terms.


@dataclasses.dataclass(frozen=True)
class MqaCase:
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

  def id(self) -> str:
    sizes = f"{self.num_rows}x{self.num_keys}x{self.num_heads}x{self.head_dim}"
    ranges = [f"{start}+{end}" for start, end in self.ranges[:3]]
    wanted = [f"{name}={value}" for name, value in self.wanted]
    more = [] if self.clean else ["zeros"]
    more += [f"columns={self.max_seqlen_k}"] if self.max_seqlen_k else []
    more += [] if self.float32_out else ["bf16_out"]
    more += [f"ctas={self.num_sms}"] if self.num_sms != 2 else []
    return "-".join(["mqa", sizes, *ranges, *wanted, *more])

  @property
  def form(self) -> MqaForm:
    dtype = np.dtype(np.float32 if self.float32_out else jnp.bfloat16)
    return MqaForm(dtype, self.clean, self.max_seqlen_k)

  def operands(self):
    return mqa_data.operands(
      self.num_rows,
      self.num_keys,
      self.num_heads,
      self.head_dim,
      list(self.ranges),
    )

  def config(self, problem, device, legal=legal_mqa_configs):
    fits = [
      config
      for config in legal(problem, device)
      if all(getattr(config, name) == x for name, x in self.wanted)
    ]
    return dataclasses.replace(fits[0], num_stages=self.num_stages)

  def run(self, emulator, seed):
    return run(self, emulator, seed)

  def expected(self):
    exact, magnitude = self.logits()
    return exact, magnitude * 2.0**-BITS + np.abs(exact) * 2.0**-8

  def wrong_elements(self, result):
    return mqa_data.wrong(result, *self.logits(), BITS)

  def logits(self):
    """Returns the logits and the magnitudes behind them."""
    return _logits(self)

  def roles(self, kernel):
    math = kernel.threads // 32 - 4
    names = [f"math {i // 4}.{i % 4}" for i in range(math)]
    return [*names, "loads", *(f"fills {i}" for i in range(3))]


def mqa_case(num_rows, num_keys, num_heads, head_dim, ranges, **fields):
  names = {field.name for field in dataclasses.fields(MqaCase)}
  own = {name: fields.pop(name) for name in names & fields.keys()}
  return MqaCase(
    num_rows,
    num_keys,
    num_heads,
    head_dim,
    tuple(ranges),
    wanted=tuple(fields.items()),
    **own,
  )


def run(case, emulator, seed):
  """Returns the logits as the emulator computes them."""
  kernel = sm90_fp8_mqa_logits
  with emulated(kernel, case.config, emulator, seed):
    result = kernel.run(
      *map(jnp.asarray, case.operands()),
      form=case.form,
      options=Options(num_sms=case.num_sms),
      device=H200,
    )
  return np.asarray(result)


@functools.cache
def _logits(case):
  return mqa_data.logits(
    *case.operands(), max_seqlen_k=case.max_seqlen_k, fill=case.form.fill
  )
