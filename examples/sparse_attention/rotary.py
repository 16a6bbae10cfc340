"""Rotary positions of vectors that lie one token after the other."""

import jax
import jax.numpy as jnp


def rotate(x: jax.Array, positions: jax.Array, base: float) -> jax.Array:
  """Returns x with its vectors turned by angles that grow with the position.

  Column i and column i + d / 2 are one plane's coordinates; it turns by
  `position * base ** (-2 i / d)`.

  Args:
    x: `[tokens, ..., d]`.
    positions: int32 `[tokens]`.
    base: of the angles.
  """
  half = x.shape[-1] // 2
  speeds = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angles = positions.astype(jnp.float32)[:, None] * speeds
  angles = angles.reshape(len(positions), *(1,) * (x.ndim - 2), half)
  cos, sin = jnp.cos(angles), jnp.sin(angles)
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  turned = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(turned, axis=-1).astype(x.dtype)
