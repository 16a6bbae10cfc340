"""Small selections of largest values, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.device import H200
from jax_deepgemm.heuristics.sm90_row_topk import Sm90RowTopkConfig
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_row_topk
from tests import topk_data
from tests.emulator.emulated import emulated
from tests.emulator.kernel_case import KernelCase


@dataclasses.dataclass(frozen=True)
class RowTopkCase(KernelCase):
  """Rows of a kind, the ranges of their keys, and what is wanted of the kernel.

  Attributes:
    ranges: of the first rows, again and again.
    parts: blocks that share a row.
  """

  kind: str
  num_rows: int
  width: int
  k: int
  ranges: tuple[tuple[int, int], ...]
  num_keys: int
  parts: int = 1
  num_threads: int = 64
  num_vectors: int = 1
  capacity: int = 512
  bin_bits: int = 6

  def id(self) -> str:
    sizes = f"{self.num_rows}x{self.width}x{self.k}"
    ranges = [f"{start}+{end}" for start, end in self.ranges[:3]]
    more = [f"parts={self.parts}"] if self.parts > 1 else []
    more += [f"vectors={self.num_vectors}"] if self.num_vectors > 1 else []
    return "-".join(["row_topk", self.kind, sizes, *ranges, *more])

  def operands(self):
    values = topk_data.rows(self.kind, self.num_rows, self.width).copy()
    picked = [self.ranges[i % len(self.ranges)] for i in range(self.num_rows)]
    starts, ends = np.array(picked, np.int32).T
    for row, start, end in zip(
      values, starts.tolist(), ends.tolist(), strict=True
    ):
      start = min(max(start, 0), self.num_keys)
      # What no range has is larger than all that one has.
      row[max(min(end, self.num_keys) - start, 0) :] = np.nan
    return values, starts, ends

  def config(self, problem, device):
    del device
    config = Sm90RowTopkConfig(
      self.num_threads,
      self.num_vectors,
      self.capacity,
      self.bin_bits,
      problem.listed,
    )
    assert problem.k + config.step <= config.capacity
    assert 1 << (problem.k - 1).bit_length() <= config.capacity
    return config

  def run(self, emulator, seed):
    kernel = sm90_row_topk
    cut = emulated(
      kernel, lambda *_: self.parts, emulator, seed, chooser="num_parts"
    )
    with emulated(kernel, self.config, emulator, seed), cut:
      values, keys = kernel.run(
        *map(jnp.asarray, self.operands()),
        num_keys=self.num_keys,
        k=self.k,
        options=Options(),
        device=H200,
      )
    return np.concatenate([_bits(values), np.asarray(keys)], axis=1)

  def expected(self):
    exact = expected(self)
    return exact, np.zeros_like(exact)

  def roles(self, kernel):
    return [f"selects {i}" for i in range(kernel.threads // 32)]


@functools.cache
def expected(case):
  """Returns bits of the values, NaN being one, and keys side by side."""
  values, starts, ends = case.operands()
  values, keys = topk_data.of_ranges(
    values, starts, ends, case.num_keys, case.k
  )
  return np.concatenate([_bits(values), keys], axis=1)


def _bits(x):
  x = np.asarray(x)
  return np.where(np.isnan(x), -1, x.view(np.int32))
