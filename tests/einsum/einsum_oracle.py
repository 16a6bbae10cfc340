"""Operands of einsums with sizes by letter, and the float64 answer."""

import ml_dtypes
import numpy as np

from tests.primitives.gemm_oracle import codes

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def letters_of(expr):
  """Returns the letters of a, of b and of the result."""
  operands, result = expr.split("->")
  return (*operands.split(","), result)


def bf16_operands(expr, sizes, seed=0):
  """Returns a and b: each slice along each dimension has a size of its own."""
  random = np.random.default_rng(seed)

  def values(letters):
    x = random.standard_normal([sizes[letter] for letter in letters])
    for axis in range(x.ndim):
      exponents = random.integers(-2, 3, x.shape[axis])
      shape = [-1 if i == axis else 1 for i in range(x.ndim)]
      x = x * np.exp2(exponents).reshape(shape)
    return x.astype(BFLOAT16)

  a, b, _ = letters_of(expr)
  return values(a), values(b)


def scaled_operands(expr, sizes, granularities, seed=0):
  """Returns a and b, pairs whose scales are powers of two of many sizes.

  Args:
    expr: in the letters of `sizes`.
    sizes: of each letter.
    granularities: of a and of b, letter -> elements that share a scale.
    seed: of the values.
  """
  random = np.random.default_rng(seed)
  pairs = []
  for letters, grans in zip(letters_of(expr), granularities, strict=False):
    shape = [sizes[x] for x in letters]
    blocks = [-(-sizes[x] // grans.get(x, 1)) for x in letters]
    scales = np.exp2(random.integers(-9, 3, blocks)).astype(np.float32)
    pairs.append((codes(tuple(shape), seed + len(pairs)), scales))
  return pairs


def dequantized(pair):
  """Returns float64 values * scales; blocks follow from the shapes of both."""
  values, scales = pair
  blocks = [
    1 if n == count else 128
    for n, count in zip(values.shape, scales.shape, strict=True)
  ]
  index = tuple(
    i // block
    for i, block in zip(np.indices(values.shape), blocks, strict=True)
  )
  return values.astype(np.float64) * scales[index].astype(np.float64)


def assert_is_einsum(result, expr, a, b, c=None, *, sum_error=2.0**-20):
  """Checks each element to the error of a float32 sum, rounded once.

  NaN is never within a bound.
  """
  a, b = (np.asarray(x).astype(np.float64) for x in (a, b))
  exact = np.einsum(expr, a, b, optimize=True)
  magnitude = np.einsum(expr, np.abs(a), np.abs(b), optimize=True)
  if c is not None:
    exact = exact + np.asarray(c).astype(np.float64)
    magnitude = magnitude + np.abs(np.asarray(c).astype(np.float64))
  rounding = 0.0 if result.dtype == np.float32 else 2.0**-8
  allowed = magnitude * sum_error + np.abs(exact) * rounding
  assert result.shape == exact.shape
  found = np.asarray(result).astype(np.float64)
  assert np.all(np.abs(found - exact) <= allowed)
