"""Votes, shuffles and a maximum of random values."""

import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall
from tests.probes.probe import Probe, recipe

_WARPS = 24


def warp_probe(seed: int) -> Probe:
  """Returns a launch of 24 warps: no votes, all, one, or some."""
  generator = np.random.default_rng(seed)
  lanes = np.arange(32)
  inputs, answers = [], []
  for warp in range(_WARPS):
    value = generator.integers(0, 2**32, 32)
    value[3] = 0x7FC00000 + warp  # A NaN.
    votes = generator.random(32) < (0, 1, 0.03, 0.97, 0.5, 0.5)[warp % 6]
    source = generator.integers(0, 32, 32)
    step = int(generator.integers(0, 32))
    ballot = np.sum(votes.astype(np.int64) << lanes)
    further = np.where(lanes + step < 32, lanes + step, lanes)
    answer = [
      np.full(32, ballot),
      np.full(32, votes.any()),
      np.full(32, votes.all()),
      value[source],
      value[lanes ^ step],
      value[further],
      np.ones(32),
      np.full(32, value[step]),
      _maximum(value),
      np.sum((source[:, None] % 5 == source % 5) << lanes, -1),
    ]
    inputs.append(np.stack([value, votes, source, np.full(32, step)], -1))
    answers.append(np.stack(answer, -1))
  kernel = KernelCall(
    recipe=recipe("warp"),
    grid=(_WARPS, 1, 1),
    cluster=(1, 1, 1),
    threads=32,
    smem_bytes=0,
    pdl=False,
    params=(Buffer(0), Buffer(1)),
  )
  operands = (np.stack(inputs).astype(np.uint32),)
  return Probe(kernel, operands, (np.stack(answers).astype(np.uint32),))


def _maximum(bits: np.ndarray) -> np.ndarray:
  """Returns the bits of max(x, 1); any NaN is the same one."""
  x = bits.astype(np.uint32).view(np.float32)
  greater = np.where(x > 1, x, np.float32(1)).view(np.uint32)
  return np.where(np.isnan(x), np.uint32(0x7FFFFFFF), greater)
