"""FP4 (e2m1) codes: two in an int8, the even element in the low nibble.

Code c in [0, 7] stands for 0, .5, 1, 1.5, 2, 3, 4, 6; bit 3 is the sign. -0 is
never written.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LARGEST_E2M1 = 6

_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_MIDPOINTS = (0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0)
# e4m3fn has all of these numbers: the bits of .5 are 0x30, of -6 0xCC.
_E4M3_BITS = (0x00, 0x30, 0x38, 0x3C, 0x40, 0x44, 0x48, 0x4C)


def encode(x: jax.Array) -> jax.Array:
  """Returns the uint8 codes of float32 x; a NaN, above no midpoint, gives 0."""
  magnitude = jnp.abs(x)
  code = jnp.zeros(x.shape, jnp.uint8)
  for midpoint in _MIDPOINTS:
    code += (magnitude > np.float32(midpoint)).astype(jnp.uint8)
  is_negative = (x < np.float32(0)) & (code != 0)
  return code | (is_negative.astype(jnp.uint8) << 3)


def decode(codes: jax.Array) -> jax.Array:
  """Returns the float32 numbers that uint8 codes stand for."""
  magnitudes = np.array(_MAGNITUDES, np.float32)
  return jnp.asarray(np.concatenate([magnitudes, -magnitudes]))[codes]


def decode_to_e4m3(packed: jax.Array) -> jax.Array:
  """Returns `[..., n]` float8_e4m3fn of `[..., n / 2]` int8, which is exact."""
  bits = np.array(_E4M3_BITS, np.uint8)
  table = jnp.asarray(np.concatenate([bits, bits | np.uint8(0x80)]))
  return lax.bitcast_convert_type(table[unpack(packed)], jnp.float8_e4m3fn)


def pack(codes: jax.Array) -> jax.Array:
  """Returns `[..., n / 2]` int8 of `[..., n]` uint8 codes."""
  *batch, n = codes.shape
  pairs = codes.reshape(*batch, n // 2, 2)
  return lax.bitcast_convert_type(
    pairs[..., 0] | (pairs[..., 1] << 4), jnp.int8
  )


def unpack(packed: jax.Array) -> jax.Array:
  """Returns `[..., n]` uint8 codes of `[..., n / 2]` int8."""
  *batch, half = packed.shape
  both = lax.bitcast_convert_type(packed, jnp.uint8)
  pairs = jnp.stack([both & 0xF, both >> 4], axis=-1)
  return pairs.reshape(*batch, 2 * half)
