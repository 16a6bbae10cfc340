"""Steps that processes take together, or not at all."""

from collections.abc import Callable
from typing import Protocol, TypeVar

_Result = TypeVar("_Result")


class Store(Protocol):
  """Bytes by key, which all processes see."""

  def put(self, key: str, value: bytes) -> None:
    """Sets a key, once."""

  def wait_for(self, key: str, timeout_s: float) -> bytes:
    """Returns a key's value once it is set; raises TimeoutError."""

  def delete(self, key: str) -> None:
    """Forgets a key."""


class Exchange:
  """A conversation of some processes, each of which takes the same steps."""

  def __init__(
    self,
    store: Store | None,
    label: str,
    processes: tuple[int, ...],
    own: int,
    timeout_s: float = 300.0,
  ) -> None:
    """Begins.

    Args:
      store: None if there is one process.
      label: tells this conversation from all others, the same everywhere.
      processes: who takes part.
      own: this process.
      timeout_s: how long a step waits for each of the others.
    """
    self._store = store
    self._label = label
    self._processes = processes
    self._own = own
    self._timeout_s = timeout_s
    self._step = 0
    self._is_broken = False

  def gather(self, action: Callable[[], bytes]) -> dict[int, bytes]:
    """Returns what `action` returned in each process.

    Raises:
      RuntimeError: it failed in another process.
      TimeoutError: another process did not come.
      Exception: whatever `action` raised here, once the others know of it.
    """
    failure = None
    try:
      report = b"+" + action()
    except Exception as error:
      failure = error
      report = b"-" + (str(error) or type(error).__name__).encode()
    reports = self._share(report, self._timeout_s)
    if failure is not None:
      raise failure
    for process, other in reports.items():
      if other[:1] != b"+":
        raise RuntimeError(
          f"symmetric buffer: process {process} failed: {other[1:].decode()}"
        )
    return {process: other[1:] for process, other in reports.items()}

  def agree(self, action: Callable[[], _Result]) -> _Result:
    """Returns what `action` returned, once it has succeeded everywhere."""
    results: list[_Result] = []

    def act() -> bytes:
      results.append(action())
      return b""

    self.gather(act)
    return results[0]

  def meet(self, timeout_s: float | None = None) -> bool:
    """Returns whether all processes got here within the time.

    Who did not come once is not waited for again.
    """
    if self._is_broken:
      return False
    try:
      self._share(b"+", self._timeout_s if timeout_s is None else timeout_s)
    except TimeoutError:
      return False
    return True

  def _share(self, report: bytes, timeout_s: float) -> dict[int, bytes]:
    if self._store is None:
      return {self._own: report}
    step = self._step
    self._step += 1
    self._store.put(self._key(step, self._own), report)
    reports = {}
    for process in self._processes:
      try:
        key = self._key(step, process)
        reports[process] = self._store.wait_for(key, timeout_s)
      except TimeoutError as error:
        self._is_broken = True
        raise TimeoutError(
          f"symmetric buffer: process {process} did not come to step {step} of"
          f" {self._label} within {timeout_s:g} s; every process of the mesh"
          " must make, reset and destroy the same buffers in the same order"
        ) from error
    if step > 0:  # All came to this step, so nobody reads the one before.
      self._store.delete(self._key(step - 1, self._own))
    return reports

  def _key(self, step: int, process: int) -> str:
    return f"jax_deepgemm/{self._label}/{step}/{process}"
