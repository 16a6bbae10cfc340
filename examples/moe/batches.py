"""Batches of text: a pure function of seed and step.

Nothing is kept between steps, so a run that is resumed needs no state of the
data, and each process reads the sequences of its own devices alone.
"""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from moe.errors import UsageError
from moe.mesh import BATCH


def starts(
  num_bytes: int, shape: tuple[int, int], seed: int, step: int
) -> np.ndarray:
  """Returns where each sequence of a step begins, int64 `[batch]`.

  Args:
    num_bytes: of the text.
    shape: batch and length of the sequences.
    seed: of the run.
    step: 0 and above.
  """
  batch_size, length = shape
  if num_bytes < length:
    raise UsageError(
      f"a sequence has {length} bytes, but the text has {num_bytes}"
    )
  random = np.random.default_rng([seed, step])
  return random.integers(num_bytes - length + 1, size=batch_size)


def sequences(
  text: np.ndarray, shape: tuple[int, int], seed: int, step: int, rows: slice
) -> np.ndarray:
  """Returns some rows of the step's batch, uint8 `[rows, length]`."""
  first = starts(len(text), shape, seed, step)[rows]
  return text[first[:, None] + np.arange(shape[1])]


def batch(
  text: np.ndarray, shape: tuple[int, int], seed: int, step: int, mesh: Mesh
) -> jax.Array:
  """Returns the step's batch, uint8 `[batch, length]`, split over the mesh."""
  return jax.make_array_from_callback(
    shape,
    NamedSharding(mesh, BATCH),
    lambda index: sequences(text, shape, seed, step, index[0]),
  )
