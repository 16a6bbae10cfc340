"""Checks that an argument is refused with one exact message."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest


def f32(*shape: int) -> jax.Array:
  """Returns float32 zeros of that shape."""
  return jnp.zeros(shape, jnp.float32)


def i32(*shape: int) -> jax.Array:
  """Returns int32 zeros of that shape."""
  return jnp.zeros(shape, jnp.int32)


def expect_refusal(
  error: type[Exception], message: str, function: Callable, *args, **kwargs
) -> None:
  """Fails unless the call raises that whole message, eager and in a trace."""
  with pytest.raises(error) as caught:
    function(*args, **kwargs)
  assert str(caught.value) == message
  with pytest.raises(error) as caught:
    jax.jit(lambda: function(*args, **kwargs))()
  assert str(caught.value) == message
