"""Arenas of processes with one GPU each: by CUDA's handles, and by NVSHMEM."""

import ctypes
import functools

import numpy as np
import pytest

from jax_deepgemm.symmetric_memory import (
  allocation,
  cuda_ipc,
  nvshmem_library,
)
from jax_deepgemm.symmetric_memory.nvshmem_library import NvshmemLibrary
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups
from tests.symmetric_memory.fake_cuda import FakeDevice
from tests.symmetric_memory.fake_processes import allocate

# Process 1 has rank 0, and both count their device as 0.
GROUPS = RankGroups.along(
  np.array([FakeDevice(8, 1), FakeDevice(4, 0)], object), (0,)
)


def arena_of(process) -> int:
  ((_, _, ordinal, address),) = [
    event for event in process.events if event[0] == "register_arena"
  ]
  assert ordinal == 0
  return address


def test_each_process_opens_what_the_other_allocated(processes):
  memories = processes.run(lambda _: allocate(GROUPS))
  assert memories[0].handle == memories[1].handle
  assert [memory.backend for memory in memories] == ["cuda_ipc"] * 2
  own = [arena_of(process) for process in processes.members]
  opened = [process.cuda.opened for process in processes.members]
  assert [list(o.values()) for o in opened] == [[own[1]], [own[0]]]
  for index, rank in ((0, 1), (1, 0)):
    fields = processes.members[index].header(own[index])
    (mapped,) = opened[index]
    assert fields["rank"] == rank
    assert fields["peers"][rank] == own[index]
    assert fields["peers"][1 - rank] == mapped != own[1 - index]
  processes.run(lambda index: memories[index].release())


def test_both_processes_see_the_records_of_all_ranks(processes):
  memories = processes.run(lambda _: allocate(GROUPS))
  boards = [memory._board for memory in memories]
  assert boards[0].address != boards[1].address
  for index, rank in ((0, 1), (1, 0)):
    process = processes.members[index]
    record = process.header(arena_of(process))["status_board"]
    # What the device of this process writes there both hosts read.
    ctypes.c_uint32.from_address(record).value = 7 + rank
    assert [int(board.records[rank, 0]) for board in boards] == [7 + rank] * 2
  processes.run(lambda index: memories[index].reset())
  assert not boards[0].records.any()
  processes.run(lambda index: memories[index].release())


def test_memory_is_freed_when_nobody_has_it_open(processes):
  memories = processes.run(lambda _: allocate(GROUPS))
  processes.run(lambda index: memories[index].release())
  for process in processes.members:
    order = [entry[0] for entry in process.cuda.log]
    assert order.index("cuIpcCloseMemHandle") < order.index("cuMemFree")
    assert process.cuda.memory == process.cuda.opened == {}
    assert process.cuda.pinned == set()


def test_memory_stays_while_another_process_may_write_it(
  processes, monkeypatch
):
  memories = processes.run(lambda _: allocate(GROUPS))
  monkeypatch.setattr(allocation, "_RELEASE_TIMEOUT_S", 0.05)
  error, _ = processes.run(
    lambda index: memories[0].release() if index == 0 else None
  )
  assert isinstance(error, TimeoutError)
  assert "its memory stays until this process ends" in str(error)
  cuda = processes.members[0].cuda
  assert cuda.calls("cuMemFree", "cuIpcCloseMemHandle") == []
  assert ("unregister_arena", memories[0].handle) in processes.members[0].events
  allocation._live().remove(memories[1])


@pytest.mark.parametrize(
  ("function", "reason"),
  [
    ("cuMemAlloc", "no room|process 1 failed: .* no room"),
    ("cuIpcOpenMemHandle", "cannot open the memory of process 0"),
    ("cuMemHostRegister", "cuMemHostRegister failed"),
    ("cuMemcpyHtoD", "cuMemcpyHtoD failed"),
  ],
)
def test_a_failure_of_one_process_frees_what_both_have(
  processes, function, reason
):
  processes.members[1].cuda.failures[function] = (0, 2)
  errors = processes.run(lambda _: allocate(GROUPS))
  for error in errors:
    with pytest.raises((RuntimeError, MemoryError), match=reason):
      raise error
  assert "process 1 failed" in str(errors[0])
  for process in processes.members:
    assert process.cuda.memory == process.cuda.opened == {}
    assert process.cuda.pinned == set()


def test_processes_that_ask_for_different_buffers_are_told(processes):
  errors = processes.run(
    lambda index: allocate(GROUPS, num_bytes=10_000 + index)
  )
  for error in errors:
    assert isinstance(error, ValueError)
    assert "every process must ask for the same" in str(error)
    assert "10001 8192" in str(error)


def test_processes_of_two_hosts_are_told(processes, monkeypatch):
  hosts = (b"alpha 1234", b"beta 5678")
  monkeypatch.setattr(cuda_ipc, "_host", lambda: hosts[processes.index])
  for error in processes.run(lambda _: allocate(GROUPS)):
    assert isinstance(error, NotImplementedError)
    assert "must be of one host, got alpha 1234, beta 5678" in str(error)


def test_containers_of_one_host_are_of_one_host(processes, monkeypatch):
  hosts = (b"pod-1 1234", b"pod-2 1234")
  monkeypatch.setattr(cuda_ipc, "_host", lambda: hosts[processes.index])
  memories = processes.run(lambda _: allocate(GROUPS))
  processes.run(lambda index: memories[index].release())


class FakeNvshmem:
  """The functions of libnvshmem_host.so that are called."""

  def __init__(self, process, reachable=True):
    self.log = []
    self.ranks = None
    self._process = process
    self._reachable = reachable
    for name in ("nvshmem_align", "nvshmem_ptr", "nvshmem_free"):
      function = getattr(type(self), f"_{name}")
      # As functions of ctypes do, these take attributes.
      setattr(self, name, functools.partial(function, self))

  def nvshmemx_get_uniqueid(self, identity):
    identity._obj[4:8] = b"seed"
    return 0

  def nvshmemx_hostlib_init_attr(self, flags, attributes):
    arguments = attributes._obj.arguments.unique_id
    assert flags == 8
    assert attributes._obj.version == (1 << 16) + 144
    assert attributes._obj.arguments.version == (1 << 16) + 128
    assert arguments.version == (1 << 16) + 24
    identity = ctypes.string_at(arguments.id, 128)
    assert identity[:8] == ((1 << 16) + 128).to_bytes(4, "little") + b"seed"
    self.ranks = (arguments.rank, arguments.num_ranks)
    return 0

  def _nvshmem_align(self, alignment, size):
    assert alignment == 4096
    _, address = self._process.cuda.cuMemAlloc(size)
    return address

  def _nvshmem_ptr(self, address, rank):
    return address + (rank + 1 << 52) if self._reachable else None

  def _nvshmem_free(self, address):
    self._process.cuda.cuMemFree(address)


@pytest.fixture
def nvshmem(processes, monkeypatch):
  fakes = [FakeNvshmem(process) for process in processes.members]
  libraries = [NvshmemLibrary(fake) for fake in fakes]
  monkeypatch.setattr(
    nvshmem_library, "load", lambda: libraries[processes.index]
  )
  return fakes


def test_nvshmem_starts_once_and_maps_its_peers(processes, nvshmem):
  first = processes.run(lambda _: allocate(GROUPS, "nvshmem"))
  # Ranks of NVSHMEM are processes in order; ours are places along the axis.
  assert [fake.ranks for fake in nvshmem] == [(0, 2), (1, 2)]
  for index, rank in ((0, 1), (1, 0)):
    process = processes.members[index]
    own = arena_of(process)
    peers = process.header(own)["peers"]
    assert peers[rank] == own
    assert peers[1 - rank] == own + (2 - index << 52)
    fake = nvshmem[index]
    fake.ranks = None
  second = processes.run(lambda _: allocate(GROUPS, "nvshmem"))
  assert [fake.ranks for fake in nvshmem] == [None, None]
  for memories in (first, second):
    processes.run(lambda index, m=memories: m[index].release())
  for process in processes.members:
    assert process.cuda.memory == {}


def test_nvshmem_serves_one_set_of_processes(processes, nvshmem):
  memories = processes.run(lambda _: allocate(GROUPS, "nvshmem"))
  library = nvshmem_library.load()
  with pytest.raises(NotImplementedError, match=r"\(0, 1\) and cannot serve"):
    library.is_initialized((0, 1, 2))
  processes.run(lambda index: memories[index].release())


def test_a_peer_that_nvshmem_does_not_reach_is_named(processes, nvshmem):
  nvshmem[1]._reachable = False
  errors = processes.run(lambda _: allocate(GROUPS, "nvshmem"))
  assert "process 1 cannot reach the memory of process 0" in str(errors[1])
  assert "process 1 failed" in str(errors[0])
  for process in processes.members:
    assert process.cuda.memory == {}


def test_a_missing_library_is_named(processes, monkeypatch):
  pathfinder = pytest.importorskip("cuda.pathfinder")

  def fail(name):
    raise RuntimeError(f"no {name}")

  monkeypatch.setattr(pathfinder, "load_nvidia_dynamic_lib", fail)
  nvshmem_library.load.cache_clear()
  for error in processes.run(lambda _: allocate(GROUPS, "nvshmem")):
    assert "pip install nvidia-nvshmem-cu13" in str(error)
