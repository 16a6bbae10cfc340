"""Words handed over between CTAs under flags, and words swapped."""

import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall
from tests.probes.probe import Probe, recipe

_CTAS = 4
_THREADS = 64
_ROUNDS = 3


def system_probe(seed: int) -> Probe:
  """Returns a launch of two pairs of CTAs."""
  generator = np.random.default_rng(seed)
  shape = (_CTAS, _THREADS)
  values = generator.integers(1, 2**30, shape, dtype=np.uint32)
  flags = np.zeros(_CTAS, np.uint32)
  before = np.where(
    generator.random(shape) < 0.5, generator.integers(1, 9, shape), 0
  ).astype(np.uint32)
  partner = values[np.arange(_CTAS) ^ 1][:, ::-1]
  answers = np.zeros(shape, np.uint32)
  for turn in range(1, _ROUNDS + 1):
    answers = answers * np.uint32(3) + partner * np.uint32(turn)
  kept = np.where(before == 0, values, before)
  kernel = KernelCall(
    recipe=recipe("system"),
    grid=(_CTAS, 1, 1),
    cluster=(1, 1, 1),
    threads=_THREADS,
    smem_bytes=1024,
    pdl=False,
    params=(Buffer(3), Buffer(1), Buffer(4), Buffer(5), Buffer(6)),
  )
  expected = (
    np.full(_CTAS, 2 * _ROUNDS, np.uint32),
    values * np.uint32(_ROUNDS),
    kept + before + kept,
    answers,
  )
  return Probe(
    kernel, (flags, values, before), expected, aliases=((0, 0), (2, 2))
  )
