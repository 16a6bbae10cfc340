"""Small problems for the paged MQA logits of FP4 vectors."""

import dataclasses
import math

from jax_deepgemm.heuristics.sm90_fp8_fp4_paged_mqa_logits import (
  legal_fp4_paged_mqa_configs,
)
from jax_deepgemm.primitives import sm90_fp8_fp4_paged_mqa_logits
from tests import mqa_fp4_data, paged_mqa_fp4_data
from tests.emulator.logits_case import mqa_roles
from tests.emulator.paged_mqa_case import PagedMqaCase, case_of


@dataclasses.dataclass(frozen=True)
class Fp4PagedMqaCase(PagedMqaCase):
  """A problem of FP4 vectors.

  Attributes:
    q_exponents: of the scales of q, from the first to before the second.
    key_exponents: of the scales of keys.
    wide_every: of rows and keys, those that have such exponents.
    packed_rounds: tiles on their way for each warp that decodes.
  """

  packed_rounds: int = 1
  q_exponents: tuple[int, int] = mqa_fp4_data.NARROW
  key_exponents: tuple[int, int] = mqa_fp4_data.NARROW
  wide_every: int = 1

  kernel = sm90_fp8_fp4_paged_mqa_logits
  legal = staticmethod(legal_fp4_paged_mqa_configs)
  make_operands = staticmethod(paged_mqa_fp4_data.operands)

  def id(self):
    exponents = (*self.q_exponents, *self.key_exponents, self.wide_every)
    return f"fp4-{super().id()}-exponents={'-'.join(map(str, exponents))}"

  def config(self, problem, device):
    config = super().config(problem, device)
    warps, warpgroups = config.num_decode_warps, config.num_math_warpgroups
    return dataclasses.replace(
      config,
      num_stages=math.lcm(warps, warpgroups),
      num_packed_stages=self.packed_rounds * warps,
    )

  def scales(self):
    return [self.operands().q_scales]

  def exponents(self):
    return {
      "q_exponents": self.q_exponents,
      "key_exponents": self.key_exponents,
      "wide_every": self.wide_every,
    }

  def roles(self, kernel):
    return mqa_roles(kernel, dict(self.wanted).get("num_decode_warps", 8))


def fp4_paged_case(*sizes, **fields):
  """Returns a case; a plain length is that of the one row of a sequence."""
  fields.setdefault("num_decode_warps", 4)
  return case_of(Fp4PagedMqaCase, *sizes, **fields)
