"""Float64 NumPy oracle of the FP8 recipe for training, and data for it."""

import ml_dtypes
import numpy as np

ROW, BLOCK = (1, 128), (128, 128)


def quantized(x, gran) -> np.ndarray:
  """Returns what x stands for after a cast to fp8 with such scales, float64.

  Args:
    x: `[rows, columns]`.
    gran: rows and columns that share a scale.
  """
  x = np.asarray(x).astype(np.float32)
  found = np.empty(x.shape, np.float64)
  for i in range(0, x.shape[0], gran[0]):
    for j in range(0, x.shape[1], gran[1]):
      block = np.s_[i : i + gran[0], j : j + gran[1]]
      amax = max(float(np.abs(x[block]).max()), float(np.float32(1e-4)))
      scale = np.float32(amax / 448)
      codes = (x[block] * (np.float32(1) / scale)).astype(
        ml_dtypes.float8_e4m3fn
      )
      found[block] = codes.astype(np.float64) * np.float64(scale)
  return found


def product(x, w) -> tuple[np.ndarray, np.ndarray]:
  """Returns the operands of y = x @ w as the recipe rounds them, w turned."""
  return quantized(x, ROW), quantized(w, BLOCK).T


def gradient_of_x(dy, w) -> tuple[np.ndarray, np.ndarray]:
  """Returns the operands of dx = dy @ w.T, likewise."""
  return quantized(dy, ROW), quantized(w, BLOCK)


def gradient_of_w(x, dy) -> tuple[np.ndarray, np.ndarray]:
  """Returns the operands of dw = x.T @ dy, likewise."""
  x, dy = np.asarray(x), np.asarray(dy)
  return quantized(x.T, ROW), quantized(dy.T, ROW)


def normal(shape, seed: int, dtype=np.float32) -> np.ndarray:
  """Returns normal numbers whose rows differ in magnitude."""
  rng = np.random.default_rng(seed)
  rows = np.exp2(rng.integers(-3, 4, (*shape[:-1], 1)))
  return (rng.normal(size=shape) * rows).astype(dtype)


def cosine(x, y) -> float:
  """Returns the cosine of the angle between two arrays."""
  x, y = (np.asarray(v).astype(np.float64).ravel() for v in (x, y))
  return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
