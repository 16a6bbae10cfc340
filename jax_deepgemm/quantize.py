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

On a Hopper GPU kernels cast bfloat16 and float32 in blocks of 128 (rows of 32,
too), reading x once. XLA compiles the rest: float16, other blocks,
`per_custom_dims_cast_to_fp8`, and x in a program that XLA cuts over several
devices by itself; inside `shard_map` it is kernels again. All give the same
bits, except that the sign of a NaN may differ.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jax_deepgemm.array_checks import check_dtype
from jax_deepgemm.block_scale import (
  check_cast_input,
  check_packed_needs_ue8m0,
  pack_scales,
)
from jax_deepgemm.options import Options, current
from jax_deepgemm.primitives import cast_reference
from jax_deepgemm.primitives.cast import cast
from jax_deepgemm.primitives.cast_form import CastForm
from jax_deepgemm.primitives.produced import Produced, as_produced
from jax_deepgemm.scaled_array import ScaledArray


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
  values, scales = cast_rows(x, gran_k, use_ue8m0, current())
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
  form = CastForm("columns", gran_k, use_ue8m0)
  return ScaledArray(*cast(x, form=form, options=current()))


def per_channel_transposed_cast_to_fp8(
  x: jax.Array, use_ue8m0: bool = False, gran_k: int = 128
) -> ScaledArray:
  """Returns x^T ~ values * scales, one scale per row of it and gran_k columns.

  `per_channel_cast_to_fp8` and a transpose in one: an operand whose contracted
  dimension comes first, as both of a weight gradient dY^T X, becomes one that
  FP8 tensor cores take.

  Args:
    x: `[..., k, m]` bfloat16, float16 or float32.
    use_ue8m0: round the scales up to powers of two.
    gran_k: rows of x that share a scale. k need not be a multiple of it.

  Returns:
    values `[..., m, k]` float8_e4m3fn; scales `[..., m, ceil(k / gran_k)]`
    float32.

  Raises:
    TypeError: x has another dtype.
    ValueError: x has rank < 2, or gran_k < 1.
  """
  check_cast_input(x, gran_k)
  return cast_transposed(x, gran_k, use_ue8m0, current())


def per_token_and_channel_cast_to_fp8(
  x: jax.Array, use_ue8m0: bool = False
) -> tuple[ScaledArray, ScaledArray]:
  """Returns x and x^T quantised along their rows, from one read of x.

  The same as `per_token_cast_to_fp8` and `per_channel_transposed_cast_to_fp8`
  with blocks of 128: what the two gradients of a GEMM need of dY.

  Args:
    x: `[..., m, n]` bfloat16, float16 or float32.
    use_ue8m0: round the scales up to powers of two.

  Returns:
    values `[..., m, n]` and scales `[..., m, ceil(n / 128)]`; values
    `[..., n, m]` and scales `[..., n, ceil(m / 128)]`.

  Raises:
    TypeError: x has another dtype.
    ValueError: x has rank < 2.
  """
  check_cast_input(x, 128)
  return cast_both(x, use_ue8m0, current())


def k_grouped_cast_to_fp8(
  x: jax.Array, group_sizes: jax.Array, use_ue8m0: bool = False
) -> ScaledArray:
  """Returns x^T ~ values * scales, every group of columns padded to 128.

  The operands of a K-grouped GEMM, one weight gradient per expert. With
  s_i = group_sizes[i] and P_i = sum_{h<i} align(s_h, 128),

    values[j, P_i + r] * scales[(P_i + r) // 128, j] ~ x[sum_{h<i} s_h + r, j]

  for r < s_i. All other values are zero, and so are scales of blocks that
  belong to no group. Rows of x past the last group may hold anything. Sizes are
  known on the device only: negative ones count as 0, and what reaches past the
  last row of x is cut. `vmap` makes one launch per element.

  Args:
    x: `[sum_k, m]` bfloat16, float16 or float32.
    group_sizes: `[g]` int32.
    use_ue8m0: round the scales up to powers of two.

  Returns:
    values `[m, k_padded]` float8_e4m3fn and scales
    `[k_padded / 128, align(m, 4)]` float32, MN-major as the GEMM reads them,
    with k_padded = align(sum_k, 128) + 128 g.

  Raises:
    TypeError: x or group_sizes has another dtype.
    ValueError: x is not of rank 2, or group_sizes not of rank 1.
  """
  check_cast_input(x, 128)
  check_dtype("group_sizes", group_sizes, jnp.int32)
  if x.ndim != 2 or group_sizes.ndim != 1:
    raise ValueError(
      "x, group_sizes: expected shapes (sum_k, m) and (g,), got "
      f"{x.shape} and {group_sizes.shape}"
    )
  return cast_grouped(x, group_sizes, use_ue8m0, current())


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
  return cast_blocks(x, gran_k, use_ue8m0, current())


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


def cast_rows(
  x: jax.Array | Produced,
  gran_k: int,
  use_ue8m0: bool,
  options: Options,
  *,
  for_gemm: bool = True,
) -> ScaledArray:
  """Returns what `per_token_cast_to_fp8` does.

  With whole 16 bytes of scales a column, the kernel writes them as a GEMM reads
  them, and XLA drops the transpose here with that before the GEMM. What is read
  row by row is not `for_gemm`.
  """
  x = as_produced(x)
  mn_major = for_gemm and gran_k == 128 and x.shape[-2] % 4 == 0
  form = _form(x, "rows", gran_k, use_ue8m0, mn_major)
  values, scales = cast(*x.operands, form=form, options=options)
  if mn_major:
    scales = jnp.swapaxes(scales, -1, -2)
  return ScaledArray(values, scales)


def cast_live_rows(
  x: jax.Array | Produced,
  group_sizes: jax.Array,
  use_ue8m0: bool,
  options: Options,
) -> ScaledArray:
  """Returns what `per_token_cast_to_fp8` does of the rows of groups.

  Where the kernel runs, nothing is read or written for other rows: it serves
  arrays with room for many more rows than there are. Their values and scales
  are undefined.

  Args:
    x: `[m, n]`, groups one after the other.
    group_sizes: `[g]` int32.
    use_ue8m0: round the scales up to powers of two.
    options: of the call.
  """
  x = as_produced(x)
  form = _form(x, "live_rows", use_ue8m0=use_ue8m0)
  operands = (*x.operands, group_sizes)
  values, scales = cast(*operands, form=form, options=options)
  return ScaledArray(values, _natural(scales, x.shape[0]))


def cast_blocks(
  x: jax.Array, gran_k: int, use_ue8m0: bool, options: Options
) -> ScaledArray:
  """Returns what `per_block_cast_to_fp8` does."""
  form = CastForm("blocks", gran_k, use_ue8m0)
  return ScaledArray(*cast(x, form=form, options=options))


def cast_blocks_both(
  x: jax.Array, use_ue8m0: bool, options: Options
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns x in blocks of 128 x 128, and its values transposed.

  A block has one scale however it lies, so the scales of the transpose are
  those of x, transposed: both GEMMs of a weight read one cast.

  Args:
    x: `[..., m, n]`.
    use_ue8m0: round the scales up to powers of two.
    options: of the call.

  Returns:
    values `[..., m, n]`, scales `[..., ceil(m / 128), ceil(n / 128)]`, and
    values `[..., n, m]`.
  """
  form = CastForm("blocks_both", use_ue8m0=use_ue8m0)
  values, scales, transposed = cast(x, form=form, options=options)
  return values, scales, transposed


def cast_transposed(
  x: jax.Array | Produced, gran_k: int, use_ue8m0: bool, options: Options
) -> ScaledArray:
  """Returns what `per_channel_transposed_cast_to_fp8` does."""
  x = as_produced(x)
  form = _form(x, "transposed", gran_k, use_ue8m0)
  values, scales = cast(*x.operands, form=form, options=options)
  return ScaledArray(values, _natural(scales, x.shape[-1]))


def cast_both(
  x: jax.Array | Produced, use_ue8m0: bool, options: Options
) -> tuple[ScaledArray, ScaledArray]:
  """Returns what `per_token_and_channel_cast_to_fp8` does."""
  x = as_produced(x)
  form = _form(x, "both", use_ue8m0=use_ue8m0)
  values, scales, transposed, column_scales = cast(
    *x.operands, form=form, options=options
  )
  m, n = x.shape[-2:]
  return (
    ScaledArray(values, _natural(scales, m)),
    ScaledArray(transposed, _natural(column_scales, n)),
  )


def cast_grouped(
  x: jax.Array | Produced,
  group_sizes: jax.Array,
  use_ue8m0: bool,
  options: Options,
) -> ScaledArray:
  """Returns what `k_grouped_cast_to_fp8` does."""
  x = as_produced(x)
  form = _form(x, "grouped", use_ue8m0=use_ue8m0)
  operands = (*x.operands, group_sizes)
  return ScaledArray(*cast(*operands, form=form, options=options))


def cast_rows_grouped(
  x: jax.Array | Produced,
  group_sizes: jax.Array,
  use_ue8m0: bool,
  options: Options,
) -> tuple[ScaledArray, ScaledArray]:
  """Returns what `per_token_cast_to_fp8` and `k_grouped_cast_to_fp8` do.

  From one read of x `[m, n]`: what the two GEMMs of an expert's layer need of
  its tokens. Rows past the last group may hold anything; the first pair's
  values and scales of these rows are undefined: zeros, or whatever the memory
  held where the kernel runs.
  """
  x = as_produced(x)
  form = _form(x, "rows_grouped", use_ue8m0=use_ue8m0)
  values, scales, transposed, column_scales = cast(
    *x.operands, group_sizes, form=form, options=options
  )
  return (
    ScaledArray(values, _natural(scales, x.shape[0])),
    ScaledArray(transposed, column_scales),
  )


def _form(x: Produced, kind: str, *args: Any, **fields: Any) -> CastForm:
  """Returns a form of what makes x."""
  return CastForm(kind, *args, **fields, source=x.source, fast_math=x.fast_math)


def _natural(scales: jax.Array, mn: int) -> jax.Array:
  """Returns `[..., mn, b]` of MN-major scales `[..., b, align(mn, 4)]`."""
  return jnp.swapaxes(scales[..., :mn], -1, -2)


@partial(jax.jit, static_argnums=(1, 2))
def _cast_sharing(
  x: jax.Array, shared: tuple[int, ...], use_ue8m0: bool
) -> ScaledArray:
  return ScaledArray(*cast_reference.cast_sharing(x, shared, use_ue8m0))
