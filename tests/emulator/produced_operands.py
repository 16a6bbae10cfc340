"""Operands of what a cast makes its matrix of."""

import numpy as np

from jax_deepgemm.heuristics.sm90_cast import CastSource


def operands_of(source, x, live_rows):
  """Returns the operands of `source` for a matrix like x, as NumPy arrays.

  Args:
    source: what makes the matrix.
    x: of its shape and dtype, with magnitudes that differ.
    live_rows: rows after them belong to no group, and hold what must not
      matter.
  """
  random = np.random.default_rng(11)
  match source:
    case CastSource.PLAIN:
      return (x,)
    case CastSource.GATHER:
      return _gathered(x, live_rows, random)
    case CastSource.SWIGLU:
      return (np.concatenate([_gate(x, live_rows, random), x], axis=-1),)
    case CastSource.WEIGHTED_SWIGLU:
      h = np.concatenate([_gate(x, live_rows, random), x], axis=-1)
      weights = np.exp2(random.integers(-3, 4, x.shape[:-1]))
      weights *= random.uniform(1, 2, x.shape[:-1])
      # Cuts gates and ups, of both signs.
      return h, weights.astype(np.float32), np.float32(1.25)
    case CastSource.SWIGLU_GRADIENT:
      half = x.shape[-1] // 2
      dy, up = x[..., :half], x[..., half:]
      h = np.concatenate([_gate(dy, live_rows, random), up], axis=-1)
      return h, np.ascontiguousarray(dy)
    case CastSource.RMS_NORM:
      weight = np.exp2(random.integers(-3, 4, x.shape[-1]))
      weight *= random.uniform(1, 2, x.shape[-1])
      rstd = np.exp2(random.integers(-3, 4, x.shape[:-1]))
      rstd *= random.uniform(1, 2, x.shape[:-1])
      return x, weight.astype(np.float32), rstd.astype(np.float32)


def _gathered(x, live_rows, random):
  """Fewer rows than are asked for, and indices that name none."""
  *batch, rows, _ = x.shape
  num_sources = max(rows * 2 // 3, 1)
  # Not the first rows alone: those of x past the groups are NaN.
  indices = random.integers(0, min(num_sources, live_rows), (*batch, rows))
  missing = (-1, num_sources, np.iinfo(np.int32).min, np.iinfo(np.int32).max)
  for i, index in enumerate(missing):
    indices[..., 1 + 3 * i :: 13] = index
  return x[..., :num_sources, :], indices.astype(np.int32)


def _gate(x, live_rows, random):
  """Gates on both sides of 0, some so large that exp overflows."""
  gate = random.standard_normal(x.shape) * 3
  flat = gate.reshape(-1)
  for special in (0.0, -0.0, 100.0, -100.0):
    flat[random.integers(0, flat.size, max(flat.size // 64, 1))] = special
  gate[..., live_rows:, :] = np.nan
  return gate.astype(x.dtype)
