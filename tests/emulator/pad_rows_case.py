"""Small arrays of rows that are padded, and how to run them."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.sm90_pad_rows import (
  Sm90PadRowsConfig,
  can_be_padded,
)
from jax_deepgemm.options import Options
from jax_deepgemm.primitives import sm90_pad_rows
from tests.emulator.emulated import emulated


@dataclasses.dataclass(frozen=True)
class PadRowsCase:
  """Arrays of (rows, bytes of a row, bytes of a padded row)."""

  arrays: tuple[tuple[int, int, int], ...]
  pieces_per_thread: int = 2
  num_threads: int = 32

  def id(self) -> str:
    sizes = ["x".join(map(str, sizes)) for sizes in self.arrays]
    return "-".join(["pad_rows", *sizes])

  def operands(self):
    return _operands(self.arrays)

  def config(self, rows):
    assert all(map(can_be_padded, rows))
    return Sm90PadRowsConfig(self.num_threads, self.pieces_per_thread)

  def padded(self, *operands):
    """Returns the operands as the kernel pads them, in a row."""
    columns = [columns for *_, columns in self.arrays]
    results = sm90_pad_rows.run(operands, columns, options=Options())
    return jnp.concatenate([x.ravel() for x in results])

  def run(self, emulator, seed):
    with emulated(sm90_pad_rows, self.config, emulator, seed):
      return np.asarray(self.padded(*map(jnp.asarray, self.operands())))

  def expected(self):
    padded = [
      np.pad(x, ((0, 0), (0, columns - row_bytes))).ravel()
      for x, (_, row_bytes, columns) in zip(
        self.operands(), self.arrays, strict=True
      )
    ]
    exact = np.concatenate(padded)
    return exact, np.zeros_like(exact)

  def wrong_elements(self, result):
    return np.argwhere(result != self.expected()[0])

  def roles(self, kernel):
    return [f"pads {i}" for i in range(kernel.threads // 32)]


@functools.cache
def _operands(arrays):
  random = np.random.default_rng(3)
  # No zeros, and no 0xFF, which is what a result has before.
  return [
    random.integers(1, 255, (rows, row_bytes), np.uint8)
    for rows, row_bytes, _ in arrays
  ]
