"""Casts to and from packed FP4 (e2m1): two codes in an int8.

How codes lie and what they stand for: `primitives/fp4_codes.py`.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from jax_deepgemm.alignment import ceil_div
from jax_deepgemm.array_checks import (
  check_dtype,
  check_positive,
  check_rank_at_least,
  check_shape,
)
from jax_deepgemm.block_scale import (
  check_cast_input,
  check_packed_needs_ue8m0,
  merge_blocks,
  pack_scales,
  scale_of_blocks,
  split_into_blocks,
)
from jax_deepgemm.primitives import fp4_codes
from jax_deepgemm.scaled_array import ScaledArray
from jax_deepgemm.ue8m0 import unpack_ue8m0_from_int


def per_token_cast_to_fp4(
  x: jax.Array,
  use_ue8m0: bool = False,
  gran_k: int = 128,
  use_packed_ue8m0: bool = False,
) -> ScaledArray:
  """Returns x ~ decode(values) * scales, one scale per row and gran_k columns.

  scale = max(amax of the block, 1e-4) / 6, rounded up to a power of two with
  use_ue8m0; code = e2m1(x * (1 / scale)), rounded to nearest with ties towards
  zero. FP4 has no NaN: a block that holds a NaN or an infinity is made visible
  by its scale alone, NaN or infinity (with use_ue8m0 infinity, byte 255), and
  its codes are all 0, so that `cast_back_from_fp4` gives NaN for all of it.
  FP4 has no gradient, and asking for one through this cast is an error.

  Args:
    x: `[..., m, n]` bfloat16, float16 or float32, n even.
    use_ue8m0: round the scales up to powers of two.
    gran_k: columns that share a scale; n need not be a multiple of it.
    use_packed_ue8m0: return the scales as four exponents to an int32, the
      missing ones of the last int32 being 1.0. Needs use_ue8m0.

  Returns:
    values `[..., m, n / 2]` int8; scales `[..., m, ceil(n / gran_k)]` float32,
    or `[..., m, ceil(n / (4 gran_k))]` int32 if packed.

  Raises:
    TypeError: x has another dtype, or a gradient of x is asked for.
    ValueError: x has rank < 2, n is odd, gran_k < 1, or packing without
      use_ue8m0.
  """
  check_packed_needs_ue8m0(use_ue8m0, use_packed_ue8m0)
  check_cast_input(x, gran_k)
  if x.shape[-1] % 2:
    raise ValueError(
      f"x: expected an even last dimension (two FP4 codes share a byte), got "
      f"shape {x.shape}"
    )
  values, scales = _cast(_without_gradient(x), gran_k, use_ue8m0)
  return ScaledArray(
    values, pack_scales(scales) if use_packed_ue8m0 else scales
  )


def transpose_packed_fp4(a: jax.Array) -> jax.Array:
  """Returns the packed form of the transposed matrix.

  Args:
    a: `[..., m, n / 2]` int8, m even.

  Returns:
    `[..., n, m / 2]` int8.

  Raises:
    TypeError: a is not int8.
    ValueError: a has rank < 2, or m is odd.
  """
  check_dtype("a", a, jnp.int8)
  check_rank_at_least("a", a, 2)
  if a.shape[-2] % 2:
    raise ValueError(
      f"a: expected an even number of rows (two of them share a byte of the "
      f"transpose), got shape {a.shape}"
    )
  return _transpose(a)


def cast_back_from_fp4(
  packed: jax.Array,
  sf: jax.Array,
  gran_k: int = 128,
  use_packed_ue8m0: bool = False,
) -> jax.Array:
  """Returns decode(packed) * scale of its block, exact for UE8M0 scales.

  Args:
    packed: `[..., m, n / 2]` int8.
    sf: `[..., m, ceil(n / gran_k)]` float32, or
      `[..., m, ceil(n / (4 gran_k))]` int32 if packed.
    gran_k: columns that share a scale.
    use_packed_ue8m0: sf holds four exponents to an int32.

  Returns:
    `[..., m, n]` float32.

  Raises:
    TypeError: packed is not int8, or sf has another dtype.
    ValueError: packed has rank < 2, gran_k < 1, or sf has another shape.
  """
  check_dtype("packed", packed, jnp.int8)
  check_rank_at_least("packed", packed, 2)
  check_positive("gran_k", gran_k)
  check_dtype("sf", sf, jnp.int32 if use_packed_ue8m0 else jnp.float32)
  n = 2 * packed.shape[-1]
  width = ceil_div(n, gran_k * (4 if use_packed_ue8m0 else 1))
  check_shape("sf", sf, (*packed.shape[:-1], width))
  scales = unpack_ue8m0_from_int(sf) if use_packed_ue8m0 else sf
  return _decode(packed, scales, gran_k)


@jax.custom_jvp
def _without_gradient(x: jax.Array) -> jax.Array:
  """Returns x. Codes are integers, which would cut a gradient silently."""
  return x


@partial(_without_gradient.defjvp, symbolic_zeros=True)
def _refuse_jvp(
  primals: tuple[jax.Array], tangents: tuple[Any]
) -> tuple[jax.Array, Any]:
  if not isinstance(tangents[0], SymbolicZero):
    raise TypeError(
      "x is cast to FP4 and has no gradient, because rounding has none; cast"
      " jax.lax.stop_gradient of it"
    )
  return primals[0], tangents[0]


@partial(jax.jit, static_argnums=(1, 2))
def _cast(x: jax.Array, gran_k: int, use_ue8m0: bool) -> ScaledArray:
  """Returns packed codes and one float32 scale per row and gran_k columns."""
  blocks = split_into_blocks(x, 1, gran_k).astype(jnp.float32)
  scales = scale_of_blocks(blocks, (-3, -1), fp4_codes.LARGEST_E2M1, use_ue8m0)
  codes = fp4_codes.encode(blocks * (np.float32(1) / scales))
  values = fp4_codes.pack(merge_blocks(codes, *x.shape[-2:]))
  return ScaledArray(values, jnp.squeeze(scales, (-3, -1)))


@jax.jit
def _transpose(packed: jax.Array) -> jax.Array:
  return fp4_codes.pack(jnp.swapaxes(fp4_codes.unpack(packed), -1, -2))


@partial(jax.jit, static_argnums=2)
def _decode(packed: jax.Array, scales: jax.Array, gran_k: int) -> jax.Array:
  codes = fp4_codes.unpack(packed)
  spread = jnp.repeat(scales, gran_k, axis=-1)[..., : codes.shape[-1]]
  return fp4_codes.decode(codes) * spread
