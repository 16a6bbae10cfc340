"""Small problems for the MQA logits of FP4 vectors."""

import dataclasses
import functools

from jax_deepgemm.heuristics.sm90_fp8_fp4_mqa_logits import (
  legal_fp4_mqa_configs,
)
from jax_deepgemm.primitives import sm90_fp8_fp4_mqa_logits
from tests import mqa_fp4_data
from tests.emulator.logits_case import mqa_roles
from tests.emulator.mqa_case import MqaCase, case_of


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

  kernel = sm90_fp8_fp4_mqa_logits
  legal = staticmethod(legal_fp4_mqa_configs)
  data = mqa_fp4_data

  def id(self):
    exponents = (*self.q_exponents, *self.key_exponents, self.wide_every)
    return f"fp4-{super().id()}-exponents={'-'.join(map(str, exponents))}"

  def exponents(self):
    return self.q_exponents, self.key_exponents, self.wide_every

  def taken(self):
    q, q_scales, *others = self.operands()
    return q, *others, q_scales

  def roles(self, kernel):
    return mqa_roles(kernel, num_decode_warps=4)


fp4_mqa_case = functools.partial(case_of, Fp4MqaCase)
