"""What the CTAs of a cluster write to each other."""

import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall
from tests.probes.probe import Probe, recipe

_SIZE = 4
_THREADS = 64
_CLUSTERS = 2


def cluster_probe(seed: int) -> Probe:
  """Returns a launch of two clusters of 4 CTAs."""
  generator = np.random.default_rng(seed)
  shape = (_CLUSTERS, _SIZE, _SIZE, _THREADS)
  # Of cluster, sender, receiver, thread.
  values = generator.integers(0, 2**30, shape, dtype=np.uint32)
  answers = [
    [_answers(cluster, rank) for rank in range(_SIZE)] for cluster in values
  ]
  kernel = KernelCall(
    recipe=recipe("cluster"),
    grid=(_CLUSTERS * _SIZE, 1, 1),
    cluster=(_SIZE, 1, 1),
    threads=_THREADS,
    smem_bytes=8192,
    pdl=False,
    params=(Buffer(0), Buffer(1)),
  )
  return Probe(kernel, (values,), (np.array(answers, np.uint32),))


def _answers(values, rank):
  """Returns what CTA `rank` says: `[answers, threads]`."""
  thread = np.arange(_THREADS)
  rows = []
  for sender in range(_SIZE):
    rows += [values[sender, rank], values[sender, (rank + 1) % _SIZE]]
  rows.append(values[:, rank].sum(0, dtype=np.uint32))
  for sender in range(_SIZE):
    rows.append(values[sender, rank])
    rows.append(values[sender, rank][thread // 4] + thread % 4)
  rows.append(values[(rank - 1) % _SIZE, 0])
  rows.append(np.full(_THREADS, values[(rank - 2) % _SIZE, rank, 0]))
  return rows
