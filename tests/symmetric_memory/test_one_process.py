"""Arenas of one process's GPUs: addresses, headers, failures, release."""

import atexit

import numpy as np
import pytest

from jax_deepgemm.symmetric_memory import allocation
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups
from tests.symmetric_memory.fake_cuda import OUT_OF_MEMORY, FakeDevice
from tests.symmetric_memory.fake_processes import allocate

# Ranks are no ordinals, and ordinals no ids.
DEVICES = [FakeDevice(10 + i, local_hardware_id=i) for i in (3, 0, 2, 1)]
MESH = np.array(DEVICES, object).reshape(2, 2)
PAGE = 2 << 20


def line(*ordinals: int) -> RankGroups:
  devices = [FakeDevice(i, local_hardware_id=i) for i in ordinals]
  return RankGroups.along(np.array(devices, object), (0,))


@pytest.mark.parametrize(
  ("axes", "expected"),
  [
    ((0,), [[3, 2], [0, 1]]),
    ((1,), [[3, 0], [2, 1]]),
    ((0, 1), [[3, 0, 2, 1]]),
    ((1, 0), [[3, 2, 0, 1]]),
  ],
)
def test_headers_tell_ranks_of_any_axis(process, axes, expected):
  memory = allocate(RankGroups.along(MESH, axes))
  arenas = {
    event[2]: event[3]
    for event in process.events
    if event[0] == "register_arena"
  }
  assert sorted(arenas) == [0, 1, 2, 3]
  (board,) = process.cuda.pinned
  for group, ordinals in enumerate(expected):
    for rank, ordinal in enumerate(ordinals):
      # The address says on which device it is.
      assert arenas[ordinal] >> 40 & 0xF == ordinal
      record = group * len(ordinals) + rank
      assert process.header(arenas[ordinal]) == {
        "magic": 0x4A444741,
        "rank": rank,
        "num_ranks": len(ordinals),
        "abort": 0,
        "timeout_ns": 5 * 10**9,
        "status_board": board + 64 * record,
        "epoch": 0,
        "grid_barrier": 0,
        "peers": tuple(arenas[peer] for peer in ordinals),
      }
      rest = process.cuda.read(arenas[ordinal] + 4096, 10_000 - 4096)
      assert rest == bytes(10_000 - 4096)
  assert ("set_arena_board", memory.handle, board, 4) in process.events
  memory.release()


def test_what_is_written_is_there_before_any_program(process):
  memory = allocate(line(0, 1))
  waiting = set()
  for function, device, *_ in process.cuda.log:
    if function in ("cuMemcpyHtoD", "cuMemsetD8"):
      waiting.add(device)
    elif function == "cuCtxSynchronize":
      waiting.discard(device)
  assert not waiting
  memory.release()


def test_devices_of_a_group_map_each_other_before_they_allocate(process):
  memory = allocate(RankGroups.along(MESH, (1,)))
  pairs = [(3, 0), (0, 3), (2, 1), (1, 2)]
  assert process.cuda.enabled == set(pairs)
  order = [entry[0] for entry in process.cuda.log]
  assert order.index("cuMemAlloc") > max(
    i for i, name in enumerate(order) if name == "cuCtxEnablePeerAccess"
  )
  sizes = {entry[2] for entry in process.cuda.calls("cuMemAlloc")}
  assert sizes == {PAGE}
  memory.release()


def test_access_that_xla_has_enabled_is_fine(process):
  process.cuda.enabled.add((0, 1))
  allocate(line(0, 1)).release()


def test_one_rank_needs_no_peer(process):
  memory = allocate(line(2))
  assert process.cuda.calls("cuCtxEnablePeerAccess") == []
  ((_, _, _, address),) = [
    event for event in process.events if event[0] == "register_arena"
  ]
  assert process.header(address)["peers"] == (address,)
  memory.release()


def test_devices_without_peer_access_are_named(process):
  process.cuda.unreachable.add((2, 1))
  with pytest.raises(RuntimeError, match=r"device 2 cannot reach .* device 1"):
    allocate(line(1, 2))
  assert process.cuda.calls("cuMemAlloc") == []


def test_a_full_device_says_what_xla_may_have(process):
  process.cuda.failures["cuMemAlloc"] = (2, OUT_OF_MEMORY)
  with pytest.raises(MemoryError) as info:
    allocate(line(0, 1, 2), num_bytes=10 << 30)
  # 19 free and 60 of XLA's, less 10 and a half, of 80.
  assert "device 2 has no room for 10737418240 bytes" in str(info.value)
  assert "XLA_PYTHON_CLIENT_MEM_FRACTION=0.85" in str(info.value)
  assert process.cuda.memory == {}
  assert len(process.cuda.calls("cuMemFree")) == 2
  assert process.events == []


def test_what_never_fits_does_not_get_a_fraction(process):
  process.cuda.failures["cuMemAlloc"] = (0, OUT_OF_MEMORY)
  with pytest.raises(MemoryError, match="use fewer tokens per rank"):
    allocate(line(0), num_bytes=79 << 30)


@pytest.mark.parametrize(
  "function", ["cuMemHostRegister", "cuMemsetD8", "cuMemcpyHtoD"]
)
def test_a_failure_on_the_way_frees_what_was_taken(process, function):
  process.cuda.failures[function] = (0, 1)
  with pytest.raises(RuntimeError, match=rf"{function} failed: CUDA_ERROR_1"):
    allocate(line(0, 1))
  assert process.cuda.memory == {}
  assert process.cuda.pinned == set()
  assert process.cuda.device is None
  registered = [e for e in process.events if e[0] == "register_arena"]
  gone = [e for e in process.events if e[0] == "unregister_arena"]
  assert len(registered) <= 1
  assert gone or not registered


def test_memory_is_freed_when_no_program_can_use_it(process):
  memory = allocate(line(0, 1))
  del process.cuda.log[:]
  memory.release()
  order = [
    entry[0]
    for entry in process.cuda.log
    if entry[0] in ("wait", "unregister_arena", "cuMemFree")
  ]
  first_free = order.index("cuMemFree")
  assert order[:3] == ["wait", "unregister_arena", "wait"]
  assert order[first_free:] == ["cuMemFree", "cuMemFree"]
  assert process.cuda.memory == {}
  assert process.cuda.pinned == set()
  assert memory.is_released
  del process.cuda.log[:]
  memory.release()
  assert process.cuda.log == []


def test_reset_clears_what_stops_calls_and_leaves_the_pools(process):
  memory = allocate(line(0, 1))
  addresses = list(process.cuda.memory)
  before = [process.header(address) for address in addresses]
  memory._board.records[1, :3] = 1, 1, 7
  for address in addresses:
    process.cuda.memory[address][:] = 0xCD
  memory.reset()
  assert process.events[-1][:1] == ("wait",)
  assert not memory._board.records.any()
  for address, fields in zip(addresses, before, strict=True):
    assert process.header(address) == fields
    assert process.cuda.read(address + 4096, 4096) == bytes(4096)
    assert set(process.cuda.read(address + 8192, 100)) == {0xCD}
  memory.release()


def test_what_nobody_releases_is_released_at_exit(process, monkeypatch):
  registered = []
  monkeypatch.setattr(atexit, "register", registered.append)
  allocation._live.cache_clear()
  gone, left = allocate(line(0)), allocate(line(1))
  gone.release()
  assert len(process.cuda.memory) == 1
  (at_exit,) = registered
  at_exit()
  assert process.cuda.memory == {}
  assert left.is_released
  allocation._live.cache_clear()


def test_handles_are_not_given_twice(process):
  memories = [allocate(line(0)) for _ in range(3)]
  assert len({memory.handle for memory in memories}) == 3
  for memory in memories:
    memory.release()
