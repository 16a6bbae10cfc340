"""Casts to float8_e4m3fn fused with what makes their input.

Each is a cast of `quantize` applied to a matrix y that is never written: on a
Hopper GPU one kernel reads the operands, makes y and quantises it. y is what
jax.numpy would have given: float32 arithmetic, rounded to the operands' dtype,
so that the codes are those of the two steps. Where y needs an exponential, the
kernel's differs from XLA's in the last bits of float32: y may be the other
neighbour in its dtype, its code then the other neighbour among codes, and a
scale differ by a unit in the last place of y's dtype. The others have the same
bits on every platform.

With `with_transpose` the result is a pair, y and y^T quantised along their
rows, as `per_token_and_channel_cast_to_fp8` gives: what a GEMM and the gradient
of its weights need.

Operands are bfloat16, float16 or float32. XLA compiles what has no kernel:
float16, gradients to halves of a size that is no multiple of 128, and arrays
that XLA cuts over several devices outside `shard_map`. Differentiating through
a cast is not meaningful, nor is it here.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.array_checks import (
  check_dtype,
  check_rank_at_least,
  check_shape,
)
from jax_deepgemm.block_scale import check_cast_input
from jax_deepgemm.heuristics.sm90_cast import CastSource
from jax_deepgemm.options import current
from jax_deepgemm.primitives.produced import Produced
from jax_deepgemm.quantize import cast_both, cast_rows
from jax_deepgemm.scaled_array import ScaledArray

Cast = ScaledArray | tuple[ScaledArray, ScaledArray]


def swiglu_cast_to_fp8(
  h: jax.Array,
  use_ue8m0: bool = False,
  *,
  with_transpose: bool = False,
  weights: jax.Array | None = None,
  clamp: float | jax.Array | None = None,
) -> Cast:
  """Returns y = silu(gate) * up quantised, with h = [gate, up].

  With weights w and a clamp c,

    y = (silu(min(gate, c)) * clip(up, -c, c)) * w[..., None]

  in float32 and in this order, rounded to the dtype of h before the cast.

  Args:
    h: `[..., m, 2 n]`, gate in the first n columns.
    use_ue8m0: round the scales up to powers of two.
    with_transpose: return y and y^T.
    weights: `[..., m]` float32, a factor for each row, or None for 1.
    clamp: at least 0, a number or a float32 array of shape (), or None for no
      bound.

  Returns:
    values `[..., m, n]` float8_e4m3fn and scales `[..., m, ceil(n / 128)]`
    float32; with the transpose also values `[..., n, m]` and scales
    `[..., n, ceil(m / 128)]`.

  Raises:
    TypeError: h or weights has another dtype.
    ValueError: h has rank < 2 or an odd number of columns, weights or clamp
      another shape, or the clamp is negative.
  """
  if weights is None and clamp is None:
    return _cast(swiglu(h), use_ue8m0, with_transpose)
  if weights is None:
    _check_gate_and_up(h)
    weights = jnp.ones(h.shape[:-1], jnp.float32)
  return _cast(weighted_swiglu(h, weights, clamp), use_ue8m0, with_transpose)


def swiglu_gradient_cast_to_fp8(
  h: jax.Array,
  dy: jax.Array,
  use_ue8m0: bool = False,
  *,
  with_transpose: bool = False,
) -> Cast:
  """Returns dh quantised, the gradient to h of dy to silu(gate) * up.

  With s = sigmoid(gate),

    dh = [dy * up * s * (1 + gate * (1 - s)), dy * gate * s].

  Args:
    h: `[..., m, 2 n]` = [gate, up].
    dy: `[..., m, n]`, the dtype of h.
    use_ue8m0: round the scales up to powers of two.
    with_transpose: return dh and dh^T.

  Returns:
    values `[..., m, 2 n]` float8_e4m3fn and scales `[..., m, ceil(2 n / 128)]`
    float32; with the transpose also values `[..., 2 n, m]` and scales
    `[..., 2 n, ceil(m / 128)]`.

  Raises:
    TypeError: h has another dtype, or dy not that of h.
    ValueError: h has rank < 2 or an odd number of columns, or dy another shape.
  """
  return _cast(swiglu_gradient(h, dy), use_ue8m0, with_transpose)


def rms_norm_cast_to_fp8(
  x: jax.Array,
  weight: jax.Array,
  use_ue8m0: bool = False,
  *,
  epsilon: float = 1e-6,
  with_transpose: bool = False,
) -> Cast:
  """Returns y = x / sqrt(mean(x^2) + epsilon) * weight quantised.

  XLA reduces each row to its factor, one read of x; the kernel multiplies with
  it in a second.

  Args:
    x: `[..., m, n]`.
    weight: `[n]`, used as float32.
    use_ue8m0: round the scales up to powers of two.
    epsilon: added to the mean of each row.
    with_transpose: return y and y^T.

  Returns:
    values `[..., m, n]` float8_e4m3fn and scales `[..., m, ceil(n / 128)]`
    float32; with the transpose also values `[..., n, m]` and scales
    `[..., n, ceil(m / 128)]`.

  Raises:
    TypeError: x or weight has another dtype.
    ValueError: x has rank < 2, or weight another shape.
  """
  check_cast_input(x, 128)
  wide = x.astype(jnp.float32)
  rstd = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1) + jnp.float32(epsilon))
  return _cast(rms_norm(x, weight, rstd), use_ue8m0, with_transpose)


def gather_cast_to_fp8(
  x: jax.Array,
  row_indices: jax.Array,
  use_ue8m0: bool = False,
  *,
  with_transpose: bool = False,
) -> Cast:
  """Returns y[i] = x[row_indices[i]] quantised, 0 where x has no such row.

  What brings tokens into the order of experts. Indices are known on the device
  only: a negative one, or one past the last row, makes a row of zeros.

  Args:
    x: `[t, n]`.
    row_indices: `[m]` int32.
    use_ue8m0: round the scales up to powers of two.
    with_transpose: return y and y^T.

  Returns:
    values `[m, n]` float8_e4m3fn and scales `[m, ceil(n / 128)]` float32; with
    the transpose also values `[n, m]` and scales `[n, ceil(m / 128)]`.

  Raises:
    TypeError: x has another dtype, or row_indices is not int32.
    ValueError: x is not of rank 2, or row_indices not of rank 1.
  """
  return _cast(gather(x, row_indices), use_ue8m0, with_transpose)


def swiglu(h: jax.Array) -> Produced:
  """Returns silu(gate) * up, to be cast; h as in `swiglu_cast_to_fp8`."""
  _check_gate_and_up(h)
  return Produced(CastSource.SWIGLU, (h,))


def weighted_swiglu(
  h: jax.Array,
  weights: jax.Array,
  clamp: float | jax.Array | None,
  *,
  fast_math: bool = True,
) -> Produced:
  """Returns the weighted form, to be cast; as in `swiglu_cast_to_fp8`.

  Args:
    h: `[..., m, 2 n]`.
    weights: `[..., m]` float32.
    clamp: at least 0, or None.
    fast_math: kernels may approximate the exponential.
  """
  _check_gate_and_up(h)
  check_dtype("weights", weights, jnp.float32)
  check_shape("weights", weights, h.shape[:-1])
  operands = (h, weights, checked_clamp("clamp", clamp))
  return Produced(CastSource.WEIGHTED_SWIGLU, operands, fast_math)


def checked_clamp(name: str, clamp: float | jax.Array | None) -> jax.Array:
  """Returns the clamp as a float32 array of shape (), infinite for None.

  Args:
    name: of the argument.
    clamp: a number or an array of shape ().

  Raises:
    ValueError: it has another shape, is negative or is no number.
  """
  if clamp is None:
    clamp = np.inf
  if isinstance(clamp, jax.core.Tracer):
    check_shape(name, clamp, ())
    return clamp.astype(jnp.float32)
  if np.shape(clamp) != () or not clamp >= 0:
    raise ValueError(f"{name}: expected a number >= 0, got {clamp!r}")
  return jnp.asarray(clamp, jnp.float32)


def swiglu_gradient(h: jax.Array, dy: jax.Array) -> Produced:
  """Returns dh, to be cast; as in `swiglu_gradient_cast_to_fp8`."""
  _check_gate_and_up(h)
  check_dtype("dy", dy, h.dtype)
  check_shape("dy", dy, (*h.shape[:-1], h.shape[-1] // 2))
  return Produced(CastSource.SWIGLU_GRADIENT, (h, dy))


def rms_norm(x: jax.Array, weight: jax.Array, rstd: jax.Array) -> Produced:
  """Returns x * rstd * weight, to be cast.

  Args:
    x: `[..., m, n]`.
    weight: `[n]`, used as float32.
    rstd: `[..., m]` float32, 1 / sqrt(mean(x^2) + epsilon).
  """
  check_cast_input(x, 128)
  check_dtype("weight", weight, jnp.bfloat16, jnp.float16, jnp.float32)
  check_shape("weight", weight, x.shape[-1:])
  check_dtype("rstd", rstd, jnp.float32)
  check_shape("rstd", rstd, x.shape[:-1])
  operands = (x, weight.astype(jnp.float32), rstd)
  return Produced(CastSource.RMS_NORM, operands)


def gather(x: jax.Array, row_indices: jax.Array) -> Produced:
  """Returns x[row_indices], to be cast; as in `gather_cast_to_fp8`."""
  check_cast_input(x, 128)
  check_dtype("row_indices", row_indices, jnp.int32)
  if x.ndim != 2 or row_indices.ndim != 1:
    raise ValueError(
      "x, row_indices: expected shapes (t, n) and (m,), got "
      f"{x.shape} and {row_indices.shape}"
    )
  return Produced(CastSource.GATHER, (x, row_indices))


def _check_gate_and_up(h: jax.Array) -> None:
  check_dtype("h", h, jnp.bfloat16, jnp.float16, jnp.float32)
  check_rank_at_least("h", h, 2)
  if h.shape[-1] % 2:
    raise ValueError(
      "h: expected an even last dimension (gate and up side by side), got shape"
      f" {h.shape}"
    )


def _cast(y: Produced, use_ue8m0: bool, with_transpose: bool) -> Cast:
  if with_transpose:
    return cast_both(y, use_ue8m0, current())
  return cast_rows(y, 128, use_ue8m0, current())
