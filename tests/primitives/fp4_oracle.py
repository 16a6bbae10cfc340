"""Float64 NumPy oracle of FP4 operands with packed scales, and operands."""

import numpy as np

from jax_deepgemm import ScaledArray
from tests import oracle


def fp4(rows: int, k: int, seed: int, lowest=-12, highest=-2) -> ScaledArray:
  """Returns all codes, and scales 2**[lowest, highest], packed, 1 x 32.

  What lies past column k, a high nibble and bytes of scales, is noise.
  """
  rng = np.random.default_rng(seed)
  values = rng.integers(0, 256, (rows, -(-k // 2)), dtype=np.uint8)
  exponents = rng.integers(127 + lowest, 128 + highest, (rows, -(-k // 32)))
  packed = np.full((rows, 4 * -(-k // 128)), 255, np.uint8)
  packed[:, : exponents.shape[1]] = exponents
  return ScaledArray(values.view(np.int8), packed.view(np.int32))


def scales_of(operand: ScaledArray) -> np.ndarray:
  """Returns float64 scales `[rows, 4 * ints]`; byte 255 is NaN, 0 zero."""
  scales = np.asarray(operand.scales)
  bytes_ = np.ascontiguousarray(scales).view(np.uint8).astype(np.int64)
  powers = np.ldexp(1.0, bytes_ - 127)
  return np.where(bytes_ == 0, 0.0, np.where(bytes_ == 255, np.nan, powers))


def dequantized_fp4(operand: ScaledArray, k: int) -> np.ndarray:
  """Returns float64 `[rows, k]`."""
  codes = oracle.unpack_fp4(np.asarray(operand.values))[:, :k]
  numbers = np.vectorize(oracle.e2m1_value, otypes=[float])(codes)
  return numbers * np.repeat(scales_of(operand), 32, axis=1)[:, :k]


def transposed_fp4(operand: ScaledArray, k: int) -> ScaledArray:
  """Returns `[k, rows / 2]` values and `[ceil(k / 128), rows]` scales."""
  codes = oracle.unpack_fp4(np.asarray(operand.values))[:, :k]
  return ScaledArray(oracle.pack_fp4(codes.T), operand.scales.T)
