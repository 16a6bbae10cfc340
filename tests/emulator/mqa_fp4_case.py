"""Small problems for the MQA logits of FP4 vectors, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_mqa_logits import (
  legal_fp4_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_fp4_mqa_logits
from tests import mqa_fp4_data
from tests.emulator.emulated import emulated
from tests.emulator.mqa_case import MqaCase


@dataclasses.dataclass(frozen=True)
class Fp4MqaCase(MqaCase):
  """A problem of FP4 vectors.

  Attributes:
    q_exponents: of the scales of q, from the first to before the second.
    key_exponents: of the scales of keys.
    wide_every: of rows and keys, those that have such exponents.
  """

  q_exponents: tuple[int, int] = mqa_fp4_data.NARROW
  key_exponents: tuple[int, int] = mqa_fp4_data.NARROW
  wide_every: int = 1

  def id(self):
    exponents = (*self.q_exponents, *self.key_exponents, self.wide_every)
    return f"fp4-{super().id()}-exponents={'-'.join(map(str, exponents))}"

  def operands(self):
    return mqa_fp4_data.operands(
      self.num_rows,
      self.num_keys,
      self.num_heads,
      self.head_dim,
      list(self.ranges),
      self.q_exponents,
      self.key_exponents,
      self.wide_every,
    )

  def run(self, emulator, seed):
    kernel = sm90_fp8_fp4_mqa_logits
    q, q_scales, *others = map(jnp.asarray, self.operands())
    choose = functools.partial(self.config, legal=legal_fp4_mqa_configs)
    with emulated(kernel, choose, emulator, seed):
      result = kernel.run(
        q,
        *others,
        q_scales,
        form=self.form,
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result)

  def logits(self):
    return _logits(self)

  def roles(self, kernel):
    math = kernel.threads // 32 - 8
    names = [f"math {i // 4}.{i % 4}" for i in range(math)]
    names += ["loads", *(f"fills {i}" for i in range(3))]
    return [*names, *(f"decodes {i}" for i in range(4))]


def fp4_mqa_case(num_rows, num_keys, num_heads, head_dim, ranges, **fields):
  names = {field.name for field in dataclasses.fields(Fp4MqaCase)}
  own = {name: fields.pop(name) for name in names & fields.keys()}
  return Fp4MqaCase(
    num_rows,
    num_keys,
    num_heads,
    head_dim,
    tuple(ranges),
    wanted=tuple(fields.items()),
    **own,
  )


@functools.cache
def _logits(case):
  return mqa_fp4_data.logits(
    *case.operands(), max_seqlen_k=case.max_seqlen_k, fill=case.form.fill
  )
