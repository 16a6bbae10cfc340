"""Empties a GPU's caches by writing more memory than they hold."""

import functools

import jax
import jax.numpy as jnp

_WANTED_BYTES = 8 * 10**9
# Twice the largest L2 of a Hopper GPU, 60 MB, with room to spare.
_LEAST_BYTES = 256 * 10**6
_ELEMENT_BYTES = 4


def flush_caches(buffer: jax.Array, value: jax.Array) -> jax.Array:
  """Returns `buffer` with every element set to `value`; named for profiles."""
  return jnp.full_like(buffer, value)


class CacheFlush:
  """Writes a large buffer on one device at each call, as DeepGEMM does.

  8 GB take 2-3 ms, in which the GPU's clock recovers from the run before, too.
  The value is a parameter so that XLA emits one kernel of its own, which a
  profile names, and no memset, which it may split in thousands.

  Attributes:
    num_bytes: size of the buffer: 8 GB, or half of what is free if that is
      less.

  Raises:
    RuntimeError: so little memory is free that the caches would not be emptied.
  """

  def __init__(self, device: jax.Device) -> None:
    self.num_bytes = buffer_bytes(device.memory_stats())
    fill = functools.partial(jnp.zeros, dtype=jnp.int32, device=device)
    self._buffer = fill((self.num_bytes // _ELEMENT_BYTES,))
    self._value = fill(())
    self._flush = jax.jit(flush_caches, donate_argnums=0, keep_unused=True)

  def __call__(self) -> None:
    """Puts the write into the device's queue and returns at once."""
    self._buffer = self._flush(self._buffer, self._value)


def buffer_bytes(memory_stats: dict[str, int] | None) -> int:
  """Returns how many bytes to write, a multiple of an element's size.

  Args:
    memory_stats: of the device; None if its allocator keeps none.

  Raises:
    RuntimeError: half of the free memory is less than 256 MB.
  """
  if not memory_stats:
    return _WANTED_BYTES
  free = memory_stats["bytes_limit"] - memory_stats["bytes_in_use"]
  num_bytes = min(_WANTED_BYTES, free // 2)
  if num_bytes < _LEAST_BYTES:
    raise RuntimeError(
      f"{free / 1e6:.0f} MB of device memory are free, too little to empty the"
      f" caches with half of it (at least {_LEAST_BYTES / 1e6:.0f} MB); free"
      " some, or pass flush_l2=False"
    )
  return num_bytes // _ELEMENT_BYTES * _ELEMENT_BYTES
