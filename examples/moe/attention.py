"""Causal attention with rotary positions."""

from typing import Literal

import jax
import jax.numpy as jnp

from moe import precision
from moe.config import ModelConfig

Implementation = Literal["xla", "cudnn"]


def rotate(x: jax.Array, base: float) -> jax.Array:
  """Returns x with its rows turned by angles that grow with the position.

  Column i and column i + head_dim / 2 are one plane's coordinates; it turns by
  `position * base ** (-2 i / head_dim)`.

  Args:
    x: `[batch, sequence, heads, head_dim]`.
    base: of the angles.
  """
  half = x.shape[-1] // 2
  speeds = base ** (-jnp.arange(half, dtype=jnp.float32) / half)
  positions = jnp.arange(x.shape[1], dtype=jnp.float32)
  angles = positions[:, None] * speeds
  cos, sin = jnp.cos(angles)[:, None, :], jnp.sin(angles)[:, None, :]
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  turned = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def attend(
  x: jax.Array,
  w_qkv: jax.Array,
  w_out: jax.Array,
  config: ModelConfig,
  compute_dtype: jax.typing.DTypeLike,
  implementation: Implementation,
) -> jax.Array:
  """Returns multi-head attention over x.

  Args:
    x: `[batch, sequence, d_model]` bfloat16.
    w_qkv: `[d_model, 3 * d_model]`, queries, keys and values side by side.
    w_out: `[d_model, d_model]`.
    config: the model.
    compute_dtype: of the two projections.
    implementation: of `jax.nn.dot_product_attention`.
  """
  heads = (*x.shape[:2], config.num_heads, config.head_dim)
  qkv = precision.dense(x, w_qkv, compute_dtype)
  q, k, v = (part.reshape(heads) for part in jnp.split(qkv, 3, axis=-1))
  y = jax.nn.dot_product_attention(
    rotate(q, config.rotary_base),
    rotate(k, config.rotary_base),
    v,
    is_causal=True,
    implementation=implementation,
  )
  return precision.dense(y.reshape(x.shape), w_out, compute_dtype)
