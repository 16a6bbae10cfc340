"""A matrix that a cast makes of other arrays on the way, and its reference."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jax_deepgemm.heuristics.sm90_cast import CastSource

Shape = tuple[int, ...]

# The operands of each source, without the group sizes that some casts add.
NUM_OPERANDS = {
  CastSource.PLAIN: 1,
  CastSource.GATHER: 2,
  CastSource.SWIGLU: 1,
  CastSource.WEIGHTED_SWIGLU: 3,
  CastSource.SWIGLU_GRADIENT: 2,
  CastSource.RMS_NORM: 3,
}


@dataclasses.dataclass(frozen=True)
class Produced:
  """A matrix `[..., m, n]` that no memory holds: a cast makes it.

  In float32, rounded to the dtype of the first operand:

  | source | operands | matrix |
  |---|---|---|
  | PLAIN | x `[..., m, n]` | x |
  | GATHER | x `[..., t, n]`, int32 i `[..., m]` | x[i], 0 if i is outside |
  | SWIGLU | h `[..., m, 2n]` | silu(gate) * up, h = [gate, up] |
  | WEIGHTED_SWIGLU | h, float32 w `[..., m]`, float32 c `[]` | see below |
  | SWIGLU_GRADIENT | h `[..., m, n]`, dy `[..., m, n / 2]` | that to h, of dy |
  | RMS_NORM | x, float32 weight `[n]`, float32 rstd `[..., m]` | see below |

  where RMS_NORM is (x * rstd[..., None]) * weight, and WEIGHTED_SWIGLU is
  (silu(min(gate, c)) * clip(up, -c, c)) * w[..., None].

  Attributes:
    source: how it is made.
    operands: of what.
    fast_math: as in `CastForm`.
  """

  source: CastSource
  operands: tuple[jax.Array, ...]
  fast_math: bool = True

  @property
  def shape(self) -> Shape:
    """That of the matrix."""
    return shape(self.source, *(x.shape for x in self.operands))


def as_produced(x: jax.Array | Produced) -> Produced:
  """Returns x as it is, or an array as its own source."""
  return x if isinstance(x, Produced) else Produced(CastSource.PLAIN, (x,))


def shape(source: CastSource, *operands: Shape) -> Shape:
  """Returns the shape of the matrix that is made of operands of these."""
  x = operands[0]
  match source:
    case CastSource.GATHER:
      return (*operands[1], x[-1])
    case CastSource.SWIGLU | CastSource.WEIGHTED_SWIGLU:
      return (*x[:-1], x[-1] // 2)
    case _:
      return x


def produce(source: CastSource, *operands: jax.Array) -> jax.Array:
  """Returns the matrix, in jax.numpy."""
  x = operands[0]
  match source:
    case CastSource.PLAIN:
      return x
    case CastSource.GATHER:
      return _gather(*operands)
    case CastSource.SWIGLU:
      gate, up = _halves(x)
      return _rounded(jax.nn.silu(gate) * up, x.dtype)
    case CastSource.WEIGHTED_SWIGLU:
      return _rounded(_weighted_swiglu(*operands), x.dtype)
    case CastSource.SWIGLU_GRADIENT:
      return _rounded(_swiglu_gradient(*operands), x.dtype)
    case CastSource.RMS_NORM:
      _, weight, rstd = operands
      normal = x.astype(jnp.float32) * rstd[..., None]
      return _rounded(normal * weight, x.dtype)


def _gather(x: jax.Array, row_indices: jax.Array) -> jax.Array:
  rows = x.shape[-2]
  if rows == 0:
    return jnp.zeros((*row_indices.shape, x.shape[-1]), x.dtype)
  is_found = (row_indices >= 0) & (row_indices < rows)
  clipped = jnp.clip(row_indices, 0, rows - 1)[..., None]
  found = jnp.take_along_axis(x, clipped, axis=-2, mode="promise_in_bounds")
  return jnp.where(is_found[..., None], found, jnp.zeros((), x.dtype))


def _halves(h: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns gate and up, in float32."""
  gate, up = jnp.split(h.astype(jnp.float32), 2, axis=-1)
  return gate, up


def _weighted_swiglu(
  h: jax.Array, weights: jax.Array, clamp: jax.Array
) -> jax.Array:
  gate, up = _halves(h)
  gate, up = jnp.minimum(gate, clamp), jnp.clip(up, -clamp, clamp)
  return jax.nn.silu(gate) * up * weights[..., None]


def _swiglu_gradient(h: jax.Array, dy: jax.Array) -> jax.Array:
  gate, up = _halves(h)
  s = jax.nn.sigmoid(gate)
  dy_s = dy.astype(jnp.float32) * s
  one = np.float32(1)
  to_gate = dy_s * up * (one + gate * (one - s))
  return jnp.concatenate([to_gate, dy_s * gate], axis=-1)


def _rounded(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
  """Returns x in dtype; XLA may not skip the rounding before the cast."""
  if dtype == jnp.bfloat16:
    x = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
  elif dtype == jnp.float16:
    # reduce_precision would lose denormals.
    return jax.lax.optimization_barrier(x.astype(dtype))
  return x.astype(dtype)
