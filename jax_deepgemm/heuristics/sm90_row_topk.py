"""Problems and configurations of the Hopper selection of largest values."""

import dataclasses
import itertools
import math
from collections.abc import Iterator

from jax_deepgemm.heuristics.device import Device

_NUM_COUNTERS = 3
# Threads, and vectors of each: what fits the registers with two blocks of 512
# threads on a multiprocessor.
_STEPS = ((512, 2), (512, 1), (256, 4), (256, 2), (1024, 2), (1024, 1))
_BIN_BITS = 11
# Two blocks of the first share a multiprocessor.
_CAPACITIES = (12288, 8192, 16384, 24576)
# Candidates beside those kept and those of a step, between two of the costly
# selections.
_LEAST_ROOM = 2048
_MOST_COLUMNS = 2**31 - 1
_BLOCKS_PER_SM = 2


@dataclasses.dataclass(frozen=True)
class RowTopkProblem:
  """The `k` largest of each of `num_rows` rows.

  Attributes:
    num_rows: rows of values.
    width: columns of a row, in memory.
    k: how many are wanted, at most the width.
    listed: columns are entries of a list of keys, else keys of a range.
  """

  num_rows: int
  width: int
  k: int
  listed: bool = False


@dataclasses.dataclass(frozen=True)
class Sm90RowTopkConfig:
  """Mirrors the struct in cuda/kernels/sm90_row_topk_types.cuh."""

  num_threads: int
  num_vectors: int
  capacity: int
  bin_bits: int
  listed: bool

  @property
  def step(self) -> int:
    """Values that a block looks at before its threads wait for each other."""
    return self.num_threads * self.num_vectors * 4

  @property
  def smem_bytes(self) -> int:
    """Bytes of shared memory; the kernel asserts that it is as many."""
    warps = self.num_threads // 32
    found, flags = 3, 1
    words = (1 << self.bin_bits) + warps + _NUM_COUNTERS + 2 + found + flags
    return -(-(8 * self.capacity + 16 * warps + 8 + 4 * words) // 16) * 16

  def holds(self, k: int) -> bool:
    """Returns whether there is room to keep and to sort k candidates."""
    sorted_at_once = 1 << (k - 1).bit_length()
    return (
      k + self.step + _LEAST_ROOM <= self.capacity
      and sorted_at_once <= self.capacity
    )


def legal_row_topk_configs(
  problem: RowTopkProblem, device: Device
) -> Iterator[Sm90RowTopkConfig]:
  """Returns every configuration that computes `problem` on `device`.

  The first is meant to be fastest. None if k or the width is too large.
  """
  if max(problem.width, problem.num_rows) > _MOST_COLUMNS:
    return
  for (num_threads, num_vectors), capacity in itertools.product(
    _STEPS, _CAPACITIES
  ):
    config = Sm90RowTopkConfig(
      num_threads=num_threads,
      num_vectors=num_vectors,
      capacity=capacity,
      bin_bits=_BIN_BITS,
      listed=problem.listed,
    )
    if config.smem_bytes <= device.smem_bytes and config.holds(problem.k):
      yield config


def choose(problem: RowTopkProblem, device: Device) -> Sm90RowTopkConfig:
  """Returns the configuration that computes `problem`.

  Raises:
    NotImplementedError: k or a size is too large.
  """
  for config in legal_row_topk_configs(problem, device):
    return config
  raise NotImplementedError(
    "mqa_topk has a Hopper kernel for k up to 16384 and fewer than 2**31 rows"
    f" and columns, got {problem}"
  )


def num_parts(problem: RowTopkProblem, device: Device) -> int:
  """Returns how many blocks share a row.

  Few rows are cut, so that more multiprocessors have one; then another kernel
  selects from what they found. With the square root of width / k both have
  lists of one length.
  """
  wanted = -(-_BLOCKS_PER_SM * device.num_sms // problem.num_rows)
  # Not for less than twice that many multiprocessors.
  if wanted < 2 * _BLOCKS_PER_SM:
    return 1
  return max(min(wanted, math.isqrt(problem.width // problem.k)), 1)
