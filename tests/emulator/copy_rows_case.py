"""Small copies of rows to another pitch, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.sm90_copy_rows import (
  Sm90CopyRowsConfig,
  is_copyable,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_copy_rows
from tests.emulator.emulated import emulated

_DTYPES = {1: np.uint8, 2: np.uint16, 4: np.uint32}


@dataclasses.dataclass(frozen=True)
class CopyRowsCase:
  """Arrays of (rows, columns, columns of the copy) elements."""

  element_bytes: int
  arrays: tuple[tuple[int, int, int], ...]
  pieces_per_thread: int = 2
  num_threads: int = 32

  def id(self) -> str:
    sizes = ["x".join(map(str, sizes)) for sizes in self.arrays]
    return "-".join(["copy_rows", f"{self.element_bytes}B", *sizes])

  def operands(self):
    return _operands(self.element_bytes, self.arrays)

  def config(self, rows):
    assert all(map(is_copyable, rows))
    return Sm90CopyRowsConfig(
      self.num_threads, self.pieces_per_thread, rows[0].cut
    )

  def run(self, emulator, seed):
    with emulated(sm90_copy_rows, self.config, emulator, seed):
      copies = sm90_copy_rows.run(
        [jnp.asarray(x) for x in self.operands()],
        [columns for *_, columns in self.arrays],
        options=Options(),
      )
    return flat(copies)

  def expected(self):
    columns = (columns for *_, columns in self.arrays)
    exact = flat(map(copied, self.operands(), columns))
    return exact, np.zeros_like(exact)

  def wrong_elements(self, result):
    return np.argwhere(result != self.expected()[0])

  def roles(self, kernel):
    return [f"copies {i}" for i in range(kernel.threads // 32)]


def copied(x, columns):
  """Returns the copy of x, by NumPy."""
  missing = max(columns - x.shape[1], 0)
  return np.pad(x, ((0, 0), (0, missing)))[:, :columns]


def flat(arrays):
  """Returns the elements of all arrays in a row."""
  return np.concatenate([np.asarray(x).ravel() for x in arrays])


@functools.cache
def _operands(element_bytes, arrays):
  random = np.random.default_rng(3)
  dtype = _DTYPES[element_bytes]
  # No zeros, and no 0xFF, which is what a result has before.
  return [
    random.integers(1, 255, (rows, columns * element_bytes), np.uint8).view(
      dtype
    )
    for rows, columns, _ in arrays
  ]
