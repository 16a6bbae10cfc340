"""Random programs of barrier operations, and what they do to a model."""

import dataclasses
import random

import numpy as np

from jax_deepgemm.primitives.kernel_call import Buffer, KernelCall, Scalar
from tests.probes.probe import Probe, recipe

_PROGRAMS = 16
_LENGTH = 40

# MbarrierOperation in mbarrier.cuh.
(
  _INIT,
  _INIT_AGAIN,
  _ARRIVE,
  _ARRIVE_COUNT,
  _ARRIVE_EXPECT,
  _EXPECT,
  _COMPLETE,
  _ARRIVE_NO_COMPLETE,
) = range(8)


@dataclasses.dataclass
class _Barrier:
  """Arrivals and bytes that a phase waits for."""

  expected: int
  pending: int = 0
  bytes: int = 0
  phase: int = 0

  def __post_init__(self):
    self.pending = self.expected

  def count(self, arrivals, num_bytes):
    self.pending -= arrivals
    self.bytes += num_bytes
    if self.pending == 0 and self.bytes == 0:
      self.phase += 1
      self.pending = self.expected

  def record(self):
    """Returns whether the phases of parity 0 and 1 are complete, as bits."""
    return 1 << (1 - self.phase % 2)


def mbarrier_probe(seed: int) -> Probe:
  """Returns a launch that runs 16 programs."""
  rng = random.Random(seed)
  runs = [_program(rng) for _ in range(_PROGRAMS)]
  kernel = KernelCall(
    recipe=recipe("mbarrier"),
    grid=(_PROGRAMS, 1, 1),
    cluster=(1, 1, 1),
    threads=32,
    smem_bytes=1024,
    pdl=False,
    params=(Buffer(0), Buffer(1), Scalar(_LENGTH)),
  )
  programs = np.array([steps for steps, _ in runs], np.uint32)
  records = np.array([records for _, records in runs], np.uint32)
  return Probe(kernel, (programs,), (records,))


def _program(rng):
  """Returns ([operation, count] ..., what each must say)."""
  barrier = _Barrier(rng.randint(1, 6))
  steps, records = [(_INIT, barrier.expected)], [barrier.record()]
  while len(steps) < _LENGTH:
    operation, count = _legal_step(rng, barrier)
    told = barrier.pending << 8 if operation == _ARRIVE_NO_COMPLETE else 0
    if operation == _INIT_AGAIN:
      barrier = _Barrier(count)
    else:
      barrier.count(*_effect(operation, count))
    steps.append((operation, count))
    records.append(barrier.record() | told)
  return steps, records


def _effect(operation, count):
  """Returns (arrivals, bytes that are expected)."""
  return {
    _ARRIVE: (1, 0),
    _ARRIVE_COUNT: (count, 0),
    _ARRIVE_EXPECT: (1, count),
    _EXPECT: (0, count),
    _COMPLETE: (0, -count),
    _ARRIVE_NO_COMPLETE: (count, 0),
  }[operation]


def _legal_step(rng, barrier):
  """Returns an operation that the barrier's state allows."""
  if barrier.pending == 0:
    # Only the missing bytes.
    return _COMPLETE, rng.choice([barrier.bytes, rng.randint(1, barrier.bytes)])
  if rng.random() < 0.05:
    return _INIT_AGAIN, rng.randint(1, 6)
  steps = [
    (_ARRIVE, 0),
    (_ARRIVE_COUNT, rng.randint(1, barrier.pending)),
    (_ARRIVE_EXPECT, 16 * rng.randint(1, 100)),
    (_EXPECT, 16 * rng.randint(1, 100)),
    (_COMPLETE, 16 * rng.randint(1, 100)),
  ]
  if barrier.pending > 1:
    steps.append((_ARRIVE_NO_COMPLETE, rng.randint(1, barrier.pending - 1)))
  return rng.choice(
    [step for step in steps if _is_legal(barrier, *step)]
    or [(_EXPECT, -barrier.bytes)]
  )


def _is_legal(barrier, operation, count):
  """Whether bytes that came early are expected before the last arrival."""
  arrivals, num_bytes = _effect(operation, count)
  return arrivals < barrier.pending or barrier.bytes + num_bytes >= 0
