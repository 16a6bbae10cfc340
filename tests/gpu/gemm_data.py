"""Operands that show a wrong index, and the float64 answer."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np


def scaled_operands(m, n, k, *, groups=None, sfb_per_row=False, seed=0):
  """Returns ((a, sfa), (b, sfb)) as NumPy arrays, `[groups, ...]` if given.

  Scales are powers of two that differ between neighbours, so that a scale of
  the wrong row or block of K changes the result by a factor.
  """
  random = np.random.default_rng(seed)
  lead = () if groups is None else (groups,)
  blocks = -(-k // 128)

  def values(rows):
    normal = random.standard_normal((*lead, rows, k)) * 100
    return np.clip(normal, -448, 448).astype(ml_dtypes.float8_e4m3fn)

  def scales(rows):
    exponents = random.integers(-8, 4, (*lead, rows, blocks))
    return np.exp2(exponents).astype(np.float32)

  rows_b = n if sfb_per_row else -(-n // 128)
  return (values(m), scales(m)), (values(n), scales(rows_b))


def product(a, b, c=None):
  """Returns C + dequantize(A) dequantize(B)^T in float64."""
  dense_a = dequantize(*a)
  dense_b = dequantize(*b)
  d = dense_a @ np.swapaxes(dense_b, -1, -2)
  return d if c is None else d + np.asarray(c).astype(np.float64)


def dequantize(values, scales):
  rows, k = values.shape[-2:]
  repeat = 1 if scales.shape[-2] == rows else 128
  full = np.repeat(np.repeat(scales, repeat, axis=-2), 128, axis=-1)
  return values.astype(np.float64) * full[..., :rows, :k].astype(np.float64)


def row_error(actual, expected):
  """Returns the largest relative error of a row; NaN never passes a bound."""
  actual = np.asarray(actual).astype(np.float64)
  norm = np.linalg.norm(expected, axis=-1)
  error = np.linalg.norm(actual - expected, axis=-1) / np.where(norm, norm, 1)
  return float(np.max(error)) if error.size else 0.0


def on_the_cpu():
  """Returns a context in which the reference runs on the CPU.

  XLA divides on a GPU with an error of up to two units in the last place, so
  that there the reference rounds ties of codes at random. Values in bfloat16
  have many: one in 16 where the largest of a block is 1.75 times a power of 2.
  """
  return jax.default_device(jax.devices("cpu")[0])


def poison_device_memory(gigabytes=2):
  """Leaves NaN in the memory that the next arrays are allocated from."""
  count = gigabytes * 2**30 // 4 // 64
  arrays = [jnp.full((count,), jnp.nan, jnp.float32) for _ in range(64)]
  jax.block_until_ready(arrays)
  for array in arrays:
    array.delete()
