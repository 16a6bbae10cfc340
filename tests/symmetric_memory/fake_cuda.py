"""A stand-in for cuda.bindings.driver: memory in NumPy, and a log of calls."""

import ctypes
import dataclasses
import itertools
import threading
from typing import Any

import numpy as np

OUT_OF_MEMORY = 2
_TOTAL = 80 << 30
_MOST = 1 << 20  # Bytes of an allocation that are there.


@dataclasses.dataclass(frozen=True)
class FakeDevice:
  """What is read of a JAX device."""

  id: int
  process_index: int = 0
  local_hardware_id: int = 0
  platform: str = "gpu"

  def memory_stats(self) -> dict[str, int]:
    return {"bytes_limit": 60 << 30}


class FakeHandle:
  """A CUipcMemHandle: 64 bytes at an address."""

  def __init__(self) -> None:
    self._bytes = ctypes.create_string_buffer(64)

  def getPtr(self) -> int:
    return ctypes.addressof(self._bytes)


class FakeCuda:
  """Functions of the driver, by attribute; one object for each process.

  Contexts are ordinals. Addresses tell process and device, so that a table that
  mixes them up is seen.

  Attributes:
    log: (function, current device, arguments) of each call.
    failures: {function: number of calls that succeed before it fails, result}.
    unreachable: pairs of devices without peer access.
  """

  CUipcMemHandle = FakeHandle

  def __init__(self, process: int = 0) -> None:
    self.process = process
    self.log: list[tuple[Any, ...]] = []
    self.failures: dict[str, tuple[int, int]] = {}
    self.unreachable: set[tuple[int, int]] = set()
    self.memory: dict[int, np.ndarray] = {}
    self.opened: dict[int, int] = {}
    self.pinned: set[int] = set()
    self.enabled: set[tuple[int, int]] = set()
    self._current = threading.local()
    self._numbers = itertools.count(1)

  def __getattr__(self, function: str) -> Any:
    if not function.startswith("cu"):
      raise AttributeError(function)

    def call(*arguments: Any) -> tuple[Any, ...]:
      self.log.append((function, self.device, *arguments))
      left, result = self.failures.get(function, (1, 0))
      if function in self.failures:
        self.failures[function] = (left - 1, result)
      if left <= 0:
        return (result,)
      answer = getattr(self, f"_{function}", lambda *_: ())(*arguments)
      if isinstance(answer, int):  # A result alone.
        return (answer,)
      return (0, *answer)

    return call

  @property
  def device(self) -> int | None:
    stack = getattr(self._current, "stack", [])
    return stack[-1] if stack else None

  def calls(self, *functions: str) -> list[tuple[Any, ...]]:
    return [entry for entry in self.log if entry[0] in functions]

  def read(self, address: int, num_bytes: int) -> bytes:
    base = max(base for base in self.memory if base <= address)
    offset = address - base
    return self.memory[base][offset : offset + num_bytes].tobytes()

  # Each returns what the driver returns beside its status, or a failing status.

  def cuGetErrorName(self, status: int) -> tuple[int, bytes]:
    return 0, b"CUDA_ERROR_%d" % status

  def cuGetErrorString(self, status: int) -> tuple[int, bytes]:
    return 0, b"a reason"

  def _cuDeviceGet(self, ordinal: int):
    return (ordinal,)

  def _cuDevicePrimaryCtxRetain(self, device: int):
    return (device,)

  def _cuCtxPushCurrent(self, context: int):
    if not hasattr(self._current, "stack"):
      self._current.stack = []
    self._current.stack.append(context)
    return ()

  def _cuCtxPopCurrent(self):
    return (self._current.stack.pop(),)

  def _cuDeviceCanAccessPeer(self, device: int, peer: int):
    return (int((device, peer) not in self.unreachable),)

  def _cuCtxEnablePeerAccess(self, peer: int, flags: int):
    pair = (self.device, peer)
    if pair in self.enabled:
      return 704
    self.enabled.add(pair)
    return ()

  def _cuMemAlloc(self, size: int):
    number = next(self._numbers)
    address = (self.process + 1) << 44 | self.device << 40 | number << 30
    self.memory[address] = np.full(min(size, _MOST), 0xAB, np.uint8)
    return (address,)

  def _cuMemFree(self, address: int):
    del self.memory[address]
    return ()

  def _cuMemGetInfo(self):
    return 19 << 30, _TOTAL

  def _cuMemsetD8(self, address: int, value: int, size: int):
    base = max(base for base in self.memory if base <= address)
    self.memory[base][address - base : address - base + size] = value
    return ()

  def _cuMemcpyHtoD(self, address: int, source: int, size: int):
    base = max(base for base in self.memory if base <= address)
    data = np.frombuffer(ctypes.string_at(source, size), np.uint8)
    self.memory[base][address - base : address - base + size] = data
    return ()

  def _cuIpcGetMemHandle(self, address: int):
    handle = FakeHandle()
    text = address.to_bytes(8, "little").ljust(64, b"\x5a")
    ctypes.memmove(handle.getPtr(), text, 64)
    return (handle,)

  def _cuIpcOpenMemHandle(self, handle: FakeHandle, flags: int):
    data = ctypes.string_at(handle.getPtr(), 64)
    assert data[8:] == b"\x5a" * 56
    assert flags == 1
    exported = int.from_bytes(data[:8], "little")
    # Another process sees the memory elsewhere.
    mapped = exported | (self.process + 1) << 52
    self.opened[mapped] = exported
    return (mapped,)

  def _cuIpcCloseMemHandle(self, address: int):
    del self.opened[address]
    return ()

  def _cuMemHostRegister(self, address: int, size: int, flags: int):
    assert address % 4096 == 0
    assert flags == 3
    self.pinned.add(address)
    return ()

  def _cuMemHostGetDevicePointer(self, address: int, flags: int):
    assert address in self.pinned
    return (address,)

  def _cuMemHostUnregister(self, address: int):
    self.pinned.remove(address)
    return ()
