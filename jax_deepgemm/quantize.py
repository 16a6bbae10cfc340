"""Casts to float8_e4m3fn with one scale per block of values.

For every cast: scale = max(amax of the block, 1e-4) / 448, rounded up to a
power of two with `use_ue8m0`; code = e4m3fn(x * (1 / scale)), round to nearest
even. The scales have the same bits on every platform, eager or jitted.

No code overflows. |x| <= amax, and scale, its inverse and the product are each
rounded once, so |x * (1 / scale)| <= 448 (1 + 2**-21), and everything below 464
rounds to 448. Nothing is clipped, which is what keeps bad input visible: a
block that holds a NaN or an infinity has a scale of NaN or infinity (with
`use_ue8m0` infinity, exponent byte 255), and codes * scale is NaN throughout.

Inputs are bfloat16, float16 or float32, any size down to 0; the last block of
a row or column may be ragged. Differentiating through a cast is not meaningful.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.array_checks import check_dtype
from jax_deepgemm.block_scale import (
  check_cast_input,
  check_packed_needs_ue8m0,
  merge_blocks,
  pack_scales,
  scale_of_blocks,
  split_into_blocks,
)
from jax_deepgemm.scaled_array import ScaledArray

_LARGEST_E4M3FN = 448


def per_token_cast_to_fp8(
  x: jax.Array,
  use_ue8m0: bool = False,
  gran_k: int = 128,
  use_packed_ue8m0: bool = False,
) -> ScaledArray:
  """Returns x ~ values * scales, one scale per row and gran_k columns.

  Args:
    x: `[..., m, n]` bfloat16, float16 or float32.
    use_ue8m0: round the scales up to powers of two.
    gran_k: columns that share a scale.
    use_packed_ue8m0: return the scales as four exponents to an int32, the
      missing ones of the last int32 being 1.0. Needs use_ue8m0.

  Returns:
    values `[..., m, n]` float8_e4m3fn; scales `[..., m, ceil(n / gran_k)]`
    float32, or `[..., m, ceil(n / (4 gran_k))]` int32 if packed.

  Raises:
    TypeError: x has another dtype.
    ValueError: x has rank < 2, gran_k < 1, or packing without use_ue8m0.
  """
  check_packed_needs_ue8m0(use_ue8m0, use_packed_ue8m0)
  check_cast_input(x, gran_k)
  values, scales = _cast(x, 1, gran_k, use_ue8m0)
  return ScaledArray(
    values, pack_scales(scales) if use_packed_ue8m0 else scales
  )


def per_channel_cast_to_fp8(
  x: jax.Array, use_ue8m0: bool = False, gran_k: int = 128
) -> ScaledArray:
  """Returns x ~ values * scales, one scale per gran_k rows and column.

  Args:
    x: `[..., m, n]` bfloat16, float16 or float32.
    use_ue8m0: round the scales up to powers of two.
    gran_k: rows that share a scale. m need not be a multiple of it.

  Returns:
    values `[..., m, n]` float8_e4m3fn; scales `[..., ceil(m / gran_k), n]`
    float32.

  Raises:
    TypeError: x has another dtype.
    ValueError: x has rank < 2, or gran_k < 1.
  """
  check_cast_input(x, gran_k)
  return _cast(x, gran_k, 1, use_ue8m0)


def per_block_cast_to_fp8(
  x: jax.Array, use_ue8m0: bool = False, gran_k: int = 128
) -> ScaledArray:
  """Returns x ~ values * scales, one scale per gran_k rows and columns.

  Args:
    x: `[..., m, n]` bfloat16, float16 or float32.
    use_ue8m0: round the scales up to powers of two.
    gran_k: rows, and columns, of a block.

  Returns:
    values `[..., m, n]` float8_e4m3fn; scales
    `[..., ceil(m / gran_k), ceil(n / gran_k)]` float32.

  Raises:
    TypeError: x has another dtype.
    ValueError: x has rank < 2, or gran_k < 1.
  """
  check_cast_input(x, gran_k)
  return _cast(x, gran_k, gran_k, use_ue8m0)


def per_custom_dims_cast_to_fp8(
  x: jax.Array, dims: Sequence[int], use_ue8m0: bool = False
) -> ScaledArray:
  """Returns x ~ values * scales, one scale per index of `dims`.

  Args:
    x: any shape, bfloat16, float16 or float32.
    dims: the dimensions that have scales of their own, negative ones counted
      from the end; all other dimensions share them. `()` gives one scale.
    use_ue8m0: round the scales up to powers of two.

  Returns:
    values, the shape of x, float8_e4m3fn; scales float32, of shape
    `[x.shape[d] for d in sorted(dims)]`: a dimension of size 1 stays.

  Raises:
    TypeError: x has another dtype.
    ValueError: an entry of dims is out of range or appears twice.
  """
  check_dtype("x", x, jnp.bfloat16, jnp.float16, jnp.float32)
  in_range = all(-x.ndim <= d < x.ndim for d in dims)
  kept = {d % x.ndim for d in dims} if in_range else set()
  if not in_range or len(kept) != len(dims):
    raise ValueError(
      f"dims: expected distinct dimensions of an array of rank {x.ndim}, got "
      f"{tuple(dims)}"
    )
  shared = tuple(d for d in range(x.ndim) if d not in kept)
  return _cast_sharing(x, shared, use_ue8m0)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _cast(
  x: jax.Array, gran_m: int, gran_n: int, use_ue8m0: bool
) -> ScaledArray:
  """Returns `[..., m, n]` codes and one scale per gran_m x gran_n block."""
  blocks = split_into_blocks(x, gran_m, gran_n).astype(jnp.float32)
  scales = scale_of_blocks(blocks, (-3, -1), _LARGEST_E4M3FN, use_ue8m0)
  values = merge_blocks(_encode(blocks, scales), *x.shape[-2:])
  return ScaledArray(values, jnp.squeeze(scales, (-3, -1)))


@partial(jax.jit, static_argnums=(1, 2))
def _cast_sharing(
  x: jax.Array, shared: tuple[int, ...], use_ue8m0: bool
) -> ScaledArray:
  """Returns codes of the shape of x and scales without the `shared` axes."""
  x = x.astype(jnp.float32)
  scales = scale_of_blocks(x, shared, _LARGEST_E4M3FN, use_ue8m0)
  return ScaledArray(_encode(x, scales), jnp.squeeze(scales, shared))


def _encode(x: jax.Array, scales: jax.Array) -> jax.Array:
  return (x * (np.float32(1) / scales)).astype(jnp.float8_e4m3fn)
