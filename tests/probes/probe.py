"""A small kernel of ptx/ wrappers, its inputs and what it must answer."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jax_deepgemm.jit import Recipe, headers_fingerprint
from jax_deepgemm.primitives.kernel_call import KernelCall

_HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Probe:
  """One launch.

  Attributes:
    kernel: what runs.
    operands: its buffers.
    expected: its results, from NumPy.
    aliases: operand -> result that starts with the operand's values.
    tolerance: how far off a result may be, if not exact.
  """

  kernel: KernelCall
  operands: tuple[np.ndarray, ...]
  expected: tuple[np.ndarray, ...]
  aliases: tuple[tuple[int, int], ...] = ()
  tolerance: np.ndarray | None = None

  def run(
    self, call: Callable[..., Sequence[jax.Array]], *operands: jax.Array
  ) -> list[jax.Array]:
    """Returns what `call`, in the form of launch.call, makes of it."""
    results = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in self.expected]
    return list(call((self.kernel,), operands, results, dict(self.aliases)))

  def check(self, results: Sequence[jax.Array]) -> None:
    """Raises AssertionError where a result is not what NumPy expects."""
    for result, expected in zip(results, self.expected, strict=True):
      actual = np.asarray(result)
      assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
      if self.tolerance is None:
        np.testing.assert_array_equal(actual, expected)
      else:
        error = np.abs(actual.astype(np.float64) - expected)
        # So that NaN is wrong, too.
        wrong = np.argwhere(~(error <= self.tolerance))
        assert not wrong.size, f"{len(wrong)} are off, first {wrong[0]}"


def recipe(name: str, prologue: str = "", epilogue: str = "") -> Recipe:
  """Returns the kernel `name`_probe of `name`.cuh."""
  text = (_HERE / f"{name}.cuh").read_text()
  return Recipe(
    kernel=f"{name}_probe",
    source=f"{prologue}{text}{epilogue}",
    arch="sm_90a",
    fingerprint=headers_fingerprint(),
  )
