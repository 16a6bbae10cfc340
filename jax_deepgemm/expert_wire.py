"""The form in which rows travel between ranks.

As float8_e4m3fn, a row of d values is one row of bytes: d codes, the exponents
of ceil(d / 128) scales, and zeros up to a multiple of 16. So one collective
moves both, and the copies can be as wide as a GPU's are.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jax_deepgemm.alignment import align, ceil_div
from jax_deepgemm.options import Options
from jax_deepgemm.quantize import cast_rows
from jax_deepgemm.scaled_array import ScaledArray

FP8 = jnp.dtype(jnp.float8_e4m3fn)
_BLOCK = 128
_ROW_ALIGNMENT = 16
_MANTISSA_BITS = 23


@dataclasses.dataclass(frozen=True)
class Wire:
  """How rows travel.

  Attributes:
    dtype: float8_e4m3fn, bfloat16 or float32.
    options: of the cast to float8_e4m3fn.
  """

  dtype: jnp.dtype
  options: Options

  @property
  def row_dtype(self) -> jnp.dtype:
    """Dtype of the rows that arrive, decoded."""
    return jnp.dtype(jnp.bfloat16) if self.dtype == FP8 else self.dtype

  @property
  def back(self) -> "Wire":
    """How the gradients of these rows travel: added up, so never as FP8."""
    return Wire(self.row_dtype, self.options)

  def encode(self, rows: jax.Array) -> jax.Array:
    """Returns what is sent for `rows`, `[n, d]` bfloat16 or float32."""
    if self.dtype != FP8:
      return rows.astype(self.dtype)
    values, scales = cast_rows(rows, _BLOCK, True, self.options)
    codes = jax.lax.bitcast_convert_type(values, jnp.uint8)
    bits = jax.lax.bitcast_convert_type(scales, jnp.uint32)
    exponents = (bits >> _MANTISSA_BITS).astype(jnp.uint8)
    used = codes.shape[1] + exponents.shape[1]
    padding = jnp.zeros(
      (rows.shape[0], align(used, _ROW_ALIGNMENT) - used), jnp.uint8
    )
    return jnp.concatenate([codes, exponents, padding], axis=1)

  def decode(self, sent: jax.Array, width: int) -> jax.Array:
    """Returns `[n, width]` in `row_dtype`, without rounding."""
    if self.dtype != FP8:
      return sent
    values, scales = self.decode_scaled(sent, width)
    spread = jnp.repeat(scales, _BLOCK, axis=1)[:, :width]
    return (values.astype(jnp.float32) * spread).astype(jnp.bfloat16)

  def decode_scaled(self, sent: jax.Array, width: int) -> ScaledArray:
    """Returns codes and scales, 1 x 128, of rows that came as FP8."""
    codes = jax.lax.bitcast_convert_type(sent[:, :width], FP8)
    exponents = sent[:, width : width + ceil_div(width, _BLOCK)]
    bits = exponents.astype(jnp.uint32) << _MANTISSA_BITS
    return ScaledArray(codes, jax.lax.bitcast_convert_type(bits, jnp.float32))
