"""JAX's key-value store, by which processes of a job find each other."""

import jax

# There is no public way to the store that jax.distributed starts.
from jax._src import distributed


class KeyValueStore:
  """The store of `jax.distributed`, as an `exchange.Store`."""

  def __init__(self) -> None:
    self._client = distributed.global_state.client
    if self._client is None:
      raise RuntimeError(
        "symmetric buffer: several processes need jax.distributed.initialize()"
      )

  def put(self, key: str, value: bytes) -> None:
    """Sets a key, once."""
    self._client.key_value_set_bytes(key, value)

  def wait_for(self, key: str, timeout_s: float) -> bytes:
    """Returns a key's value once it is set; raises TimeoutError."""
    try:
      milliseconds = max(int(timeout_s * 1000), 1)
      return self._client.blocking_key_value_get_bytes(key, milliseconds)
    except jax.errors.JaxRuntimeError as error:
      if "DEADLINE_EXCEEDED" in str(error):
        raise TimeoutError(str(error)) from error
      raise

  def delete(self, key: str) -> None:
    """Forgets a key."""
    self._client.key_value_delete(key)
