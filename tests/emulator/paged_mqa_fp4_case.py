"""Small problems for the paged MQA logits of FP4 vectors."""

import dataclasses
import functools
import math

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_fp8_fp4_paged_mqa_logits import (
  legal_fp4_paged_mqa_configs,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_fp8_fp4_paged_mqa_logits
from tests import mqa_fp4_data, paged_mqa_fp4_data
from tests.emulator.emulated import emulated
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

  def id(self):
    exponents = (*self.q_exponents, *self.key_exponents, self.wide_every)
    return f"fp4-{super().id()}-exponents={'-'.join(map(str, exponents))}"

  def config(self, problem, device):
    config = super().config(problem, device, legal=legal_fp4_paged_mqa_configs)
    warps, warpgroups = config.num_decode_warps, config.num_math_warpgroups
    return dataclasses.replace(
      config,
      num_stages=math.lcm(warps, warpgroups),
      num_packed_stages=self.packed_rounds * warps,
    )

  def operands(self):
    return _operands(self)

  def run(self, emulator, seed):
    kernel, given = sm90_fp8_fp4_paged_mqa_logits, self.operands()
    batch, next_n = given.lens.shape
    arrays = [
      given.q,
      given.cache.reshape(len(given.cache), -1),
      given.weights.reshape(batch, next_n, -1),
      given.lens,
      given.table,
      given.q_scales,
    ]
    arrays += [] if given.indices is None else [given.indices]
    with emulated(kernel, self.config, emulator, seed):
      result = kernel.run(
        *map(jnp.asarray, arrays),
        form=self.form,
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result).reshape(batch * next_n, -1)

  def roles(self, kernel):
    config = dict(self.wanted)
    decode = config.get("num_decode_warps", 8)
    math = kernel.threads // 32 - 4 - decode
    names = [f"math {i // 4}.{i % 4}" for i in range(math)]
    names += ["loads", *(f"fills {i}" for i in range(3))]
    return [*names, *(f"decodes {i}" for i in range(decode))]


def fp4_paged_case(*sizes, **fields):
  """Returns a case; a plain length is that of the one row of a sequence."""
  fields.setdefault("num_decode_warps", 4)
  return case_of(Fp4PagedMqaCase, *sizes, **fields)


@functools.cache
def _operands(case):
  return paged_mqa_fp4_data.operands(
    case.lens,
    case.num_heads,
    case.head_dim,
    case.block_kv,
    case.max_blocks,
    indices=case.indices,
    wild=case.wild,
    q_exponents=case.q_exponents,
    key_exponents=case.key_exponents,
    wide_every=case.wide_every,
  )
