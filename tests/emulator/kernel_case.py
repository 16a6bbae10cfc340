"""What every small problem for a kernel has."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from jax_deepgemm.primitives.kernel_call import KernelCall
from tests.emulator.emulator import Emulator

# float32 sums of terms in some order, relative to the terms' sizes.
SUM_ERROR = 1e-6


class KernelCase(Protocol):
  """A problem, and what is wanted of the kernel that computes it."""

  def id(self) -> str:
    """Returns its name, which no other case has."""

  def run(self, emulator: Emulator, seed: int) -> np.ndarray:
    """Returns the result as the emulator computes it."""

  def expected(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns the result and the largest error that each element may have."""

  def roles(self, kernel: KernelCall) -> Sequence[str]:
    """Returns what each warp of a launch does."""

  def wrong_elements(self, result: np.ndarray) -> np.ndarray:
    """Returns indices of the elements that are too far off; NaN always is."""
    exact, bound = self.expected()
    error = np.abs(result.astype(np.float64) - exact)
    return np.argwhere(~(error <= bound))


def with_bound(exact, size, float32_out):
  """Returns sums, and their largest errors when they are rounded once.

  Args:
    exact: the sums in float64.
    size: of their terms, added up.
    float32_out: they are rounded to float32, not to bfloat16.
  """
  # Half a unit in the last place of what is stored.
  rounding = 2.0**-24 if float32_out else 2.0**-8
  return exact, SUM_ERROR * size + rounding * np.abs(exact)


def math_roles(num_warps):
  """Returns names of the warps that multiply: warpgroup and warp of it."""
  return [f"math {i // 4}.{i % 4}" for i in range(num_warps)]
