"""Processes without GPUs: a fake driver, and a registry that only records."""

import dataclasses
import itertools
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from jax_deepgemm.symmetric_memory import (
  allocation,
  driver,
  handles,
  header,
  quiescence,
  rank_groups,
)
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups
from tests.symmetric_memory.fake_cuda import FakeCuda


@dataclasses.dataclass
class FakeProcess:
  """What one process did."""

  cuda: FakeCuda
  events: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)

  def header(self, address: int) -> dict[str, int]:
    """Returns the fields of the header of an arena."""
    data = self.cuda.read(address, header.HEADER_BYTES)
    words = struct.unpack_from("<IIIIQQII", data)
    names = [name for name in header.OFFSETS if name != "peers"]
    fields = dict(zip(names, words, strict=True))
    peers = struct.unpack_from("<64Q", data, header.OFFSETS["peers"])
    return fields | {"peers": peers[: fields["num_ranks"]]}


class FakeStore:
  """A key-value store between threads."""

  def __init__(self) -> None:
    self.values: dict[str, bytes] = {}
    self._changed = threading.Condition()

  def put(self, key: str, value: bytes) -> None:
    with self._changed:
      assert key not in self.values
      self.values[key] = value
      self._changed.notify_all()

  def wait_for(self, key: str, timeout_s: float) -> bytes:
    with self._changed:
      if not self._changed.wait_for(lambda: key in self.values, timeout_s):
        raise TimeoutError(key)
      return self.values[key]

  def delete(self, key: str) -> None:
    with self._changed:
      del self.values[key]


class Processes:
  """Threads that take themselves for processes."""

  def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    self.store = FakeStore()
    self.members = [FakeProcess(FakeCuda(i)) for i in range(count)]
    self._own = threading.local()
    for module in (rank_groups, allocation):
      monkeypatch.setattr(module.jax, "process_index", lambda: self.index)
    monkeypatch.setattr(driver, "_bindings", lambda: self.current.cuda)
    monkeypatch.setattr(allocation, "KeyValueStore", lambda: self.store)
    monkeypatch.setattr(quiescence, "wait_for", self._record("wait"))
    # A real process counts what it allocates.
    counts = [itertools.count(1) for _ in self.members]
    monkeypatch.setattr(
      handles, "label", lambda _: f"mesh/{next(counts[self.index])}"
    )
    for name in ("register_arena", "unregister_arena", "set_arena_board"):
      monkeypatch.setattr(allocation.ffi, name, self._record(name))

  @property
  def index(self) -> int:
    return getattr(self._own, "index", 0)

  @property
  def current(self) -> FakeProcess:
    return self.members[self.index]

  def run(self, function: Callable[[int], Any]) -> list[Any]:
    """Returns what `function` returns or raises in each process."""

    def in_process(index: int) -> Any:
      self._own.index = index
      try:
        return function(index)
      except Exception as error:
        return error

    with ThreadPoolExecutor(len(self.members)) as pool:
      return list(pool.map(in_process, range(len(self.members))))

  def _record(self, name: str) -> Callable[..., None]:
    def record(*arguments: Any) -> None:
      self.current.events.append((name, *arguments))
      # So that the order among the driver's calls is seen.
      self.current.cuda.log.append((name, None))

    return record


def allocate(
  groups: RankGroups, backend_name: str | None = None, num_bytes: int = 10_000
) -> allocation.SymmetricMemory:
  return allocation.allocate(groups, num_bytes, 8192, 5 * 10**9, backend_name)
