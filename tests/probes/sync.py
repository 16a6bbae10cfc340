"""Turns of warps at named barriers, and sums of atomic operations."""

import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall
from tests.probes.probe import Probe, recipe

_CTAS = 6
_THREADS = 128
_ROUNDS = 6


def sync_probe(seed: int) -> Probe:
  """Returns a launch of 6 CTAs."""
  generator = np.random.default_rng(seed)
  shape = (_CTAS, _THREADS)
  values = generator.integers(0, 2**30, shape, dtype=np.uint32)
  before = generator.integers(0, 1000, _THREADS * 2).astype(np.float32)
  totals = np.concatenate([np.zeros(4, np.uint32), before.view(np.uint32)])
  after = _totals(values, before)
  last = after[4 : 4 + _THREADS].view(np.float32)
  kernel = KernelCall(
    recipe=recipe("sync"),
    grid=(_CTAS, 1, 1),
    cluster=(1, 1, 1),
    threads=_THREADS,
    smem_bytes=2048,
    pdl=False,
    params=(Buffer(2), Buffer(1), Buffer(3), Buffer(4)),
  )
  expected = (after, last, _answers(values))
  return Probe(kernel, (totals, values), expected, aliases=((0, 0),))


def _totals(values, before):
  """Returns the words of SyncTotals."""
  counts = [values.sum(dtype=np.uint32), values.max(), _CTAS, 0]
  terms = (values % 1024).astype(np.float32)
  fours = terms[:, : _THREADS // 4, None] + np.arange(4, dtype=np.float32)
  sums = [terms.sum(0), fours.reshape(_CTAS, _THREADS).sum(0)]
  sums = before + np.concatenate(sums)
  return np.concatenate([np.array(counts, np.uint32), sums.view(np.uint32)])


def _answers(values):
  """Returns what the readers saw, tickets and largest values."""
  half = _THREADS // 2
  seen = np.zeros(values.shape, np.uint32)
  for turn in range(_ROUNDS):
    written = values[:, :half][:, ::-1] + np.uint32(turn)
    seen[:, half:] = seen[:, half:] * np.uint32(3) + written
  largest = np.broadcast_to(values.max(1, keepdims=True), values.shape)
  return np.stack([seen, np.ones_like(seen), largest], -1)
