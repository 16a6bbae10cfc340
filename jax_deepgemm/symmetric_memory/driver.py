"""The CUDA driver, through NVIDIA's bindings for Python."""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

OUT_OF_MEMORY = 2
PEER_ACCESS_ALREADY_ENABLED = 704


class CudaError(RuntimeError):
  """A call of the driver failed.

  Attributes:
    result: its CUresult.
  """

  def __init__(self, message: str, result: int) -> None:
    super().__init__(message)
    self.result = result


class Driver:
  """Calls of the driver that raise; contexts are the primary ones, as XLA's."""

  def __init__(self) -> None:
    self._cuda = _bindings()
    self._contexts: dict[int, Any] = {}
    self.call("cuInit", 0)

  def call(self, function: str, *arguments: Any) -> Any:
    """Returns what the function returns beside its status.

    Raises:
      CudaError: the status is an error.
    """
    status, *results = getattr(self._cuda, function)(*arguments)
    if int(status) != 0:
      reason = self._describe(status)
      raise CudaError(f"{function} failed: {reason}", int(status))
    return results[0] if len(results) == 1 else tuple(results)

  def context(self, ordinal: int) -> Any:
    """Returns the primary context of a device; never released, as XLA's."""
    if ordinal not in self._contexts:
      device = self.call("cuDeviceGet", ordinal)
      self._contexts[ordinal] = self.call("cuDevicePrimaryCtxRetain", device)
    return self._contexts[ordinal]

  @contextlib.contextmanager
  def on(self, ordinal: int) -> Iterator[None]:
    """Makes a device current in the body."""
    self.call("cuCtxPushCurrent", self.context(ordinal))
    try:
      yield
    finally:
      self.call("cuCtxPopCurrent")

  def structure(self, name: str) -> Any:
    """Returns a new structure of the driver's interface."""
    return getattr(self._cuda, name)()

  def _describe(self, status: Any) -> str:
    texts = []
    for function in ("cuGetErrorName", "cuGetErrorString"):
      _, text = getattr(self._cuda, function)(status)
      texts.append(text.decode() if isinstance(text, bytes) else str(text))
    return "{} ({})".format(*texts)


def _bindings() -> ModuleType:
  try:
    from cuda.bindings import driver
  except ImportError as error:
    raise ImportError(
      "symmetric buffers on GPUs need cuda-bindings: pip install"
      " jax_deepgemm[cuda13], or [cuda12] for a driver of that major"
    ) from error
  return driver
