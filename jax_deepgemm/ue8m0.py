"""UE8M0: scales that are powers of two, kept as their 8 exponent bits.

Byte e stands for 2**(e - 127), e in [1, 254]. Byte 0 stands for no scale (0.0)
and byte 255 for "not a number", as in the OCP microscaling format.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jax_deepgemm.array_checks import check_dtype, check_rank_at_least

_MANTISSA_BITS = 23
_MANTISSA_MASK = 0x7FFFFF
_NOT_A_NUMBER = 255
_BYTES_PER_INT = 4


@jax.jit
def ceil_to_ue8m0(x: jax.Array) -> jax.Array:
  """Returns 2**ceil(log2(|x|)), the exponent clamped to [-126, 127].

  Done on the bits, so it is exact: zero and subnormals give 2**-126; anything
  above 2**127, infinities and NaN included, gives 2**127.

  Args:
    x: any shape, float32, bfloat16 or float16.

  Returns:
    The shape of x, float32.

  Raises:
    TypeError: x has another dtype.
  """
  check_dtype("x", x, jnp.float32, jnp.bfloat16, jnp.float16)
  bits = lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
  exponent = (bits >> _MANTISSA_BITS) & jnp.uint32(0xFF)
  rounds_up = (bits & jnp.uint32(_MANTISSA_MASK)) != 0
  exponent = jnp.clip(exponent + rounds_up.astype(jnp.uint32), 1, 254)
  return lax.bitcast_convert_type(exponent << _MANTISSA_BITS, jnp.float32)


@jax.jit
def pack_ue8m0_to_int(x: jax.Array) -> jax.Array:
  """Returns sum_j exponent(x[..., 4 i + j]) << (8 j), four scales in an int32.

  What is no UE8M0 scale (a mantissa, a sign, NaN, infinity) cannot be refused
  while tracing; it becomes byte 255, so that the product it scales is visibly
  not finite instead of silently off by up to a factor of two. 0.0 becomes
  byte 0.

  Args:
    x: `[..., n]` float32, n a multiple of 4.

  Returns:
    `[..., n / 4]` int32.

  Raises:
    TypeError: x is not float32.
    ValueError: x is a scalar or n is no multiple of 4.
  """
  check_dtype("x", x, jnp.float32)
  check_rank_at_least("x", x, 1)
  if x.shape[-1] % _BYTES_PER_INT:
    raise ValueError(
      f"x: expected a last dimension that is a multiple of 4, got shape "
      f"{x.shape}"
    )
  bits = lax.bitcast_convert_type(x, jnp.uint32)
  # The sign lies above the exponent: a value with it exceeds 255.
  exponent = jnp.minimum(bits >> _MANTISSA_BITS, jnp.uint32(_NOT_A_NUMBER))
  is_power = (bits & jnp.uint32(_MANTISSA_MASK)) == 0
  exponent = jnp.where(is_power, exponent, jnp.uint32(_NOT_A_NUMBER))
  exponent = exponent.reshape(
    *x.shape[:-1], x.shape[-1] // _BYTES_PER_INT, _BYTES_PER_INT
  )
  packed = (
    exponent[..., 0]
    | exponent[..., 1] << 8
    | exponent[..., 2] << 16
    | exponent[..., 3] << 24
  )
  return lax.bitcast_convert_type(packed, jnp.int32)


@jax.jit
def unpack_ue8m0_from_int(packed: jax.Array) -> jax.Array:
  """Returns y[..., 4 i + j] = 2**(byte j of packed[..., i] - 127).

  Byte 0 gives 0.0 and byte 255 infinity, both read as float32 exponents.

  Args:
    packed: `[..., n]` int32.

  Returns:
    `[..., 4 n]` float32.

  Raises:
    TypeError: packed is not int32.
    ValueError: packed is a scalar.
  """
  check_dtype("packed", packed, jnp.int32)
  check_rank_at_least("packed", packed, 1)
  words = lax.bitcast_convert_type(packed, jnp.uint32)
  shifts = jnp.arange(0, 8 * _BYTES_PER_INT, 8, dtype=jnp.uint32)
  exponents = (words[..., None] >> shifts) & jnp.uint32(0xFF)
  scales = lax.bitcast_convert_type(exponents << _MANTISSA_BITS, jnp.float32)
  return scales.reshape(*packed.shape[:-1], _BYTES_PER_INT * packed.shape[-1])
