"""Checks of one array argument at trace time, with messages that show it."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def check_dtype(name: str, x: object, *allowed: DTypeLike) -> None:
  """Returns nothing; raises TypeError unless x is an array of such a dtype."""
  names = [jnp.dtype(dtype).name for dtype in allowed]
  found = str(getattr(x, "dtype", type(x).__name__))
  if found not in names:
    raise TypeError(
      f"{name}: expected an array of {' or '.join(names)}, got {found}"
    )


def check_rank_at_least(name: str, x: jax.Array, rank: int) -> None:
  """Returns nothing; raises ValueError if x has fewer dimensions than rank."""
  if x.ndim < rank:
    raise ValueError(f"{name}: expected rank >= {rank}, got shape {x.shape}")


def check_shape(name: str, x: jax.Array, expected: tuple[int, ...]) -> None:
  """Returns nothing; raises ValueError unless x has the expected shape."""
  if tuple(x.shape) != tuple(expected):
    raise ValueError(
      f"{name}: expected shape {tuple(expected)}, got {tuple(x.shape)}"
    )


def check_positive(name: str, value: int) -> None:
  """Returns nothing; raises ValueError unless value is an int >= 1."""
  if not isinstance(value, int) or value < 1:
    raise ValueError(f"{name}: expected an int >= 1, got {value!r}")
