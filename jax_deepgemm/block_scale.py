"""Blocks of values that share one scale, and the scale of such a block."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.array_checks import (
  check_dtype,
  check_positive,
  check_rank_at_least,
)
from jax_deepgemm.ue8m0 import ceil_to_ue8m0, pack_ue8m0_to_int

# Keeps the scale of a block of zeros, and its inverse, finite and not zero.
SMALLEST_AMAX = 1e-4


def check_cast_input(x: jax.Array, gran_k: int) -> None:
  """Returns nothing; raises unless x is a (batched) matrix of floats."""
  check_dtype("x", x, jnp.bfloat16, jnp.float16, jnp.float32)
  check_rank_at_least("x", x, 2)
  check_positive("gran_k", gran_k)


def split_into_blocks(x: jax.Array, gran_m: int, gran_n: int) -> jax.Array:
  """Returns x as blocks, the ragged last ones filled up with zeros.

  Args:
    x: `[..., m, n]`.
    gran_m: rows of a block.
    gran_n: columns of a block.

  Returns:
    `[..., ceil(m / gran_m), gran_m, ceil(n / gran_n), gran_n]`.
  """
  *batch, m, n = x.shape
  padding = [(0, 0)] * len(batch)
  padding += [(0, align(m, gran_m) - m), (0, align(n, gran_n) - n)]
  padded = jnp.pad(x, padding)
  return padded.reshape(
    *batch, ceil_div(m, gran_m), gran_m, ceil_div(n, gran_n), gran_n
  )


def merge_blocks(blocks: jax.Array, m: int, n: int) -> jax.Array:
  """Returns `[..., m, n]`: the inverse of `split_into_blocks`."""
  *batch, blocks_m, gran_m, blocks_n, gran_n = blocks.shape
  padded = blocks.reshape(*batch, blocks_m * gran_m, blocks_n * gran_n)
  return padded[..., :m, :n]


def scale_of_blocks(
  x: jax.Array,
  axes: tuple[int, ...],
  largest_code: int,
  use_ue8m0: bool,
) -> jax.Array:
  """Returns max(|x|, 1e-4) / largest_code over `axes`, which keep size 1.

  The quotient is correctly rounded, so the scales have the same bits on every
  platform, in eager mode and inside any fusion. With use_ue8m0 it is then
  rounded up to a power of two.

  A block with a NaN has the scale NaN, one with an infinity the scale
  infinity; with use_ue8m0 both have infinity, which packs to UE8M0's byte for
  "not a number".

  Args:
    x: float32, any shape.
    axes: the axes that share a scale.
    largest_code: 448 (e4m3fn) or 6 (e2m1).
    use_ue8m0: round up to a power of two.

  Returns:
    float32, the shape of x with `axes` of size 1.
  """
  amax = jnp.max(jnp.abs(x), axis=axes, keepdims=True, initial=np.float32(0))
  amax = jnp.maximum(amax, np.float32(SMALLEST_AMAX))
  # XLA's maxima on a CPU lose a NaN in some shapes.
  has_nan = jnp.any(jnp.isnan(x), axis=axes, keepdims=True)
  amax = jnp.where(has_nan, np.float32(np.nan), amax)
  is_finite = jnp.isfinite(amax)
  scale = _divide(amax, largest_code)
  if use_ue8m0:
    return jnp.where(is_finite, ceil_to_ue8m0(scale), np.float32(np.inf))
  return jnp.where(is_finite, scale, amax)


def _divide(x: jax.Array, divisor: int) -> jax.Array:
  """Returns x / divisor, correctly rounded, for divisor (2**i - 1) * 2**j.

  XLA turns the plain division by a constant into a product with the rounded
  reciprocal (56% of the quotients by 448 are then one ulp off), merges
  1 / (x / 448) into 448 / x, and divides with 2 ulp of error on a GPU. So the
  quotient is a product and one correction step, of operations that are exact
  but for the last: with odd = 2**i - 1 and power = 2**j,

    q = x * (1 / divisor),  residual = x / power - odd * q,

  where odd * q = (odd + 1) * q - q needs no rounding: (odd + 1) * q is a
  shift, and both subtractions are of numbers within a factor of two of each
  other. Contracting any of it to a fused multiply-add changes no bit.
  """
  power = divisor & -divisor
  odd = divisor // power
  quotient = x * np.float32(1 / divisor)
  shifted = quotient * np.float32(odd + 1)
  residual = (x * np.float32(1 / power) - shifted) + quotient
  return quotient + residual * np.float32(1 / odd)


def pack_scales(scales: jax.Array) -> jax.Array:
  """Returns UE8M0 scales four to an int32, filled up with 1.0 at the end.

  Args:
    scales: `[..., m, b]` float32 powers of two.

  Returns:
    `[..., m, ceil(b / 4)]` int32.
  """
  missing = align(scales.shape[-1], 4) - scales.shape[-1]
  padding = [(0, 0)] * (scales.ndim - 1) + [(0, missing)]
  padded = jnp.pad(scales, padding, constant_values=np.float32(1))
  return pack_ue8m0_to_int(padded)


def check_packed_needs_ue8m0(use_ue8m0: bool, use_packed_ue8m0: bool) -> None:
  """Returns nothing; raises ValueError if other scales were to be packed."""
  if use_packed_ue8m0 and not use_ue8m0:
    raise ValueError(
      "use_packed_ue8m0: True keeps exponents only and needs use_ue8m0=True, "
      "got use_ue8m0=False"
    )
