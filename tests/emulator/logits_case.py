"""What small problems for MQA logits share, of a matrix of keys or of pages."""

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.options import Options
from tests.emulator.emulated import emulated
from tests.emulator.kernel_case import KernelCase, math_roles

BITS = 20  # Of float32 sums of a few hundred terms.


class LogitsCase(KernelCase):
  """As `KernelCase`, run by `kernel` in a `form`, of what is `taken`."""

  def taken(self):
    """Returns the operands as the kernel takes them."""
    raise NotImplementedError

  def run(self, emulator, seed):
    """Returns the logits, `[rows, columns]`, as the emulator computes them."""
    with emulated(self.kernel, self.config, emulator, seed):
      result = self.kernel.run(
        *map(jnp.asarray, self.taken()),
        form=self.form,
        options=Options(num_sms=self.num_sms),
        device=H200,
      )
    return np.asarray(result).reshape(-1, result.shape[-1])

  def roles(self, kernel):
    return mqa_roles(kernel)


def mqa_roles(kernel, num_decode_warps=0):
  """Returns what each warp of a launch does, some of which may decode."""
  math = math_roles(kernel.threads // 32 - 4 - num_decode_warps)
  fill = [f"fills {i}" for i in range(3)]
  decode = [f"decodes {i}" for i in range(num_decode_warps)]
  return [*math, "loads", *fill, *decode]


def with_logits_bound(exact, magnitude):
  """Returns logits, and the largest errors that a replay compares with."""
  return exact, magnitude * 2.0**-BITS + np.abs(exact) * 2.0**-8
