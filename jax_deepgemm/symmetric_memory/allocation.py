"""An arena on every device of a mesh, from allocation to release."""

import atexit
import contextlib
import dataclasses
import functools
import threading

import jax

from jax_deepgemm import ffi
from jax_deepgemm.symmetric_memory import (
  backend,
  device_memory,
  handles,
  header,
  quiescence,
  status_board,
)
from jax_deepgemm.symmetric_memory.driver import Driver
from jax_deepgemm.symmetric_memory.exchange import Exchange
from jax_deepgemm.symmetric_memory.key_value_store import KeyValueStore
from jax_deepgemm.symmetric_memory.rank_groups import Member, RankGroups
from jax_deepgemm.symmetric_memory.request import Addresses, Request
from jax_deepgemm.symmetric_memory.status_board import StatusBoard

_RELEASE_TIMEOUT_S = 20.0


class SymmetricMemory:
  """The arenas of this process's devices, known to calls by `handle`.

  Attributes:
    handle: a number, the same in every process of the mesh.
    backend: the name of what made it.
  """

  def __init__(
    self,
    handle: int,
    backend_name: str,
    request: Request,
    addresses: Addresses,
    board: StatusBoard,
    timeout_ns: int,
    control_bytes: int,
  ) -> None:
    self.handle = handle
    self.backend = backend_name
    self._request = request
    self._addresses = addresses
    self._board = board
    self._timeout_ns = timeout_ns
    self._control_bytes = control_bytes
    self._lock = threading.Lock()
    self._is_released = False
    # Programs know the arenas by number: they stay until they are released.
    _live().append(self)

  @property
  def is_released(self) -> bool:
    """Whether the memory is gone."""
    return self._is_released

  def addresses(self, member: Member) -> tuple[int, ...]:
    """Returns the arenas of a device's group, by rank, as it sees them."""
    return self._addresses[member]

  def fault(self) -> str:
    """Returns what a device that gave up has reported, or an empty string."""
    return ffi.arena_fault(self.handle)

  def reset(self) -> None:
    """Makes the arenas as new, all but what is in their pools.

    Every process of the mesh calls it; it waits for the devices.
    """
    request = self._request

    def wait() -> None:
      quiescence.wait_for(request.members, request.driver)

    def clear() -> None:
      for member in request.members:
        self.prepare(member, self._control_bytes)

    request.exchange.agree(wait)
    request.exchange.agree(clear)

  def prepare(self, member: Member, num_bytes: int) -> None:
    """Writes a device's header and record, and zeros behind the header."""
    request, addresses = self._request, self._addresses[member]
    own = addresses[member.rank]
    rest = num_bytes - header.HEADER_BYTES
    device_memory.zero(
      request.driver, member, own + header.HEADER_BYTES, max(rest, 0)
    )
    record = status_board.device_address(request, self._board, member.record)
    data = header.pack(member.rank, addresses, self._timeout_ns, record)
    device_memory.write(request.driver, member, own, data)
    self._board.clear(member.record)

  def release(self) -> None:
    """Frees the arenas once no device uses them; every process calls it.

    Raises:
      TimeoutError: another process did not come. The arenas stay until this one
        ends, since a device of that may still write to them.
    """
    with self._lock:
      if self._is_released:
        return
      self._is_released = True
      _live().remove(self)
      self._wait_and_unregister()
      if not self._request.exchange.meet(_RELEASE_TIMEOUT_S):
        self._request.stack.pop_all()
        raise TimeoutError(
          "symmetric buffer: another process did not release it within"
          f" {_RELEASE_TIMEOUT_S:g} s; its memory stays until this process ends"
        )
      self._request.stack.close()

  def _wait_and_unregister(self) -> None:
    request = self._request
    try:
      quiescence.wait_for(request.members, request.driver)
    finally:
      # From here on a program that uses the handle is refused.
      ffi.unregister_arena(self.handle)
    quiescence.wait_for(request.members, request.driver)


def allocate(
  groups: RankGroups,
  num_bytes: int,
  control_bytes: int,
  timeout_ns: int,
  backend_name: str | None = None,
) -> SymmetricMemory:
  """Returns zeroed arenas with headers for all devices of this process.

  Every process with a device in `groups` calls this with the same arguments.

  Args:
    groups: who shares arenas.
    num_bytes: size of each arena.
    control_bytes: of them, those that `reset` makes 0, from the first on.
    timeout_ns: how long kernels wait for each other.
    backend_name: one of `BACKENDS`, or None.

  Raises:
    ValueError, NotImplementedError: the groups cannot have this backend.
    MemoryError: a device has no room.
    RuntimeError: devices do not reach each other, or another process failed.
    TimeoutError: another process did not come.
  """
  name = backend.choose(groups, backend_name)
  label = handles.label(groups)
  exchange = _exchange(groups, label)
  _check_alike(exchange, f"{num_bytes} {control_bytes} {timeout_ns} {name}")
  with contextlib.ExitStack() as stack:
    driver = exchange.agree(Driver)
    request = Request(groups, num_bytes, driver, exchange, stack)
    handle = handles.agree(exchange)
    addresses = backend.map_arenas(name, request)
    board = status_board.make(request)
    kept = dataclasses.replace(request, stack=stack.pop_all())
  memory = SymmetricMemory(
    handle, name, kept, addresses, board, timeout_ns, control_bytes
  )
  try:
    exchange.agree(lambda: _open(memory, kept, addresses, board))
  except BaseException:
    memory.release()
    raise
  return memory


def _open(
  memory: SymmetricMemory,
  request: Request,
  addresses: Addresses,
  board: StatusBoard,
) -> None:
  for member in request.members:
    memory.prepare(member, request.num_bytes)
    own = addresses[member][member.rank]
    ffi.register_arena(memory.handle, member.ordinal, own)
  ffi.set_arena_board(memory.handle, board.address, len(board.records))


def _exchange(groups: RankGroups, label: str) -> Exchange:
  processes = groups.processes
  store = KeyValueStore() if len(processes) > 1 else None
  return Exchange(store, label, processes, jax.process_index())


def _check_alike(exchange: Exchange, arguments: str) -> None:
  asked = exchange.gather(arguments.encode)
  if len(set(asked.values())) > 1:
    listed = {process: text.decode() for process, text in asked.items()}
    raise ValueError(
      "symmetric buffer: every process must ask for the same, got (process:"
      f" bytes, bytes of control, time-out in ns, backend) {listed}"
    )


@functools.cache
def _live() -> list[SymmetricMemory]:
  """Returns what is allocated; it is released before the driver goes."""
  live: list[SymmetricMemory] = []

  def release_all() -> None:
    for memory in live[::-1]:
      with contextlib.suppress(Exception):  # Nobody is left to be told.
        memory.release()

  # Called at the first allocation: what JAX registered before runs after it.
  atexit.register(release_all)
  return live
