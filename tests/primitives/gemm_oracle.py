"""Float64 NumPy oracle of the fp8 GEMM and operands to try it on."""

import ml_dtypes
import numpy as np

from jax_deepgemm import ScaledArray

E4M3FN = ml_dtypes.float8_e4m3fn


def codes(shape: tuple[int, ...], seed: int) -> np.ndarray:
  """Returns e4m3fn numbers of all magnitudes and both signs, no NaN."""
  bits = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
  bits[bits % 128 == 127] = 0
  return bits.view(E4M3FN)


def scaled(rows: int, k: int, recipe: tuple[int, int], seed: int):
  """Returns values [rows, k] and scales that differ from block to block."""
  shape = (-(-rows // recipe[0]), -(-k // recipe[1]))
  scales = np.exp2(np.random.default_rng(seed + 1).uniform(-12, -2, shape))
  return ScaledArray(codes((rows, k), seed), scales.astype(np.float32))


def dequantized(operand: ScaledArray, recipe: tuple[int, int]) -> np.ndarray:
  """Returns float64 values * scales, element by element."""
  rows, columns = np.indices(operand.values.shape)
  scales = operand.scales[rows // recipe[0], columns // recipe[1]]
  return operand.values.astype(np.float64) * scales.astype(np.float64)


def assert_is_product(
  d, a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None
) -> None:
  """Checks d = c + a @ b.T, each element to its own rounding error.

  a, b and c are float64. A float32 sum is allowed 2**-20 of the sum of
  magnitudes; a bfloat16 result is rounded once more, to 2**-8 of itself.
  """
  exact = a @ b.T
  magnitude = np.abs(a) @ np.abs(b).T
  if c is not None:
    exact, magnitude = exact + c, magnitude + np.abs(c)
  rounding = 0.0 if d.dtype == np.float32 else 2.0**-8
  found = np.asarray(d).astype(np.float64)
  assert found.shape == exact.shape
  allowed = magnitude * 2.0**-20 + np.abs(exact) * rounding
  assert np.all(np.abs(found - exact) <= allowed)
