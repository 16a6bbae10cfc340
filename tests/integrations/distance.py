"""How far a result is from another."""

import numpy as np


def distance(found, expected) -> float:
  """Returns the norm of the difference over that of what is expected."""
  found, expected = np.asarray(found, float), np.asarray(expected, float)
  return np.linalg.norm(found - expected) / np.linalg.norm(expected)
