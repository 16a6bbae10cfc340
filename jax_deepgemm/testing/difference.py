"""How far two arrays are apart, as DeepGEMM measures it."""

from typing import Any

import numpy as np

# 32 MB as float64: the arrays of a benchmark would need gigabytes at once.
_CHUNK = 1 << 22


def calc_diff(x: Any, y: Any) -> float:
  """Returns 1 - 2 <x, y> / (<x, x> + <y, y>), or 0 if both are all zero.

  Summed in float64. For y = x + e it is about |e|^2 / (2 |x|^2): relative to
  the whole array, so a few wrong rows among many may not show. A NaN or an
  infinity anywhere gives NaN, which no comparison with a bound passes.

  Args:
    x: any shape, any real dtype; a JAX or NumPy array.
    y: the same shape.

  Raises:
    ValueError: the shapes differ.
  """
  x, y = np.asarray(x), np.asarray(y)
  if x.shape != y.shape:
    raise ValueError(
      f"x and y must have the same shape, got {x.shape} and {y.shape}"
    )
  x, y = x.reshape(-1), y.reshape(-1)
  product = norms = np.float64(0)
  with np.errstate(invalid="ignore", over="ignore"):
    for start in range(0, x.size, _CHUNK):
      x_part = x[start : start + _CHUNK].astype(np.float64)
      y_part = y[start : start + _CHUNK].astype(np.float64)
      product += x_part @ y_part
      norms += x_part @ x_part + y_part @ y_part
    return float(1 - 2 * product / norms) if norms != 0 else 0.0
