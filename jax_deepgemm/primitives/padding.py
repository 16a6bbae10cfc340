"""Rows that begin where TMA can begin one."""

import jax
import jax.numpy as jnp


def pad_last(x: jax.Array, multiple: int) -> jax.Array:
  """Returns x with zeros behind its last dimension, up to a multiple."""
  missing = -x.shape[-1] % multiple
  if not missing:
    return x
  return jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),))
