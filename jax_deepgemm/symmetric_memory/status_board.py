"""Records in host memory in which devices say why they gave up.

Every process reads the records of all ranks of its host, without the GPU.
"""

import contextlib
import mmap
import os
import secrets

import numpy as np

from jax_deepgemm.symmetric_memory.request import Request

RECORD_BYTES = 64
_PORTABLE = 1  # CU_MEMHOSTREGISTER_PORTABLE
_DEVICE_MAP = 2  # CU_MEMHOSTREGISTER_DEVICEMAP
_DIRECTORY = "/dev/shm"


class StatusBoard:
  """Records of all ranks; those of other hosts' ranks stay 0.

  Attributes:
    records: uint32 [ranks of all groups, 16].
  """

  def __init__(self, memory: mmap.mmap, num_records: int) -> None:
    words = np.frombuffer(memory, np.uint32)
    shape = (num_records, RECORD_BYTES // 4)
    self.records = words[: shape[0] * shape[1]].reshape(shape)

  @property
  def address(self) -> int:
    """Where the records begin."""
    return self.records.ctypes.data

  def clear(self, record: int) -> None:
    """Sets a record to "no fault"."""
    self.records[record] = 0


def make(request: Request) -> StatusBoard:
  """Returns a board that all devices of this process can write."""
  num_records = len(request.groups.devices)
  size = -(-num_records * RECORD_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
  memory = (
    _shared_memory(request, size)
    if request.groups.span_processes
    else mmap.mmap(-1, size)
  )
  board = StatusBoard(memory, num_records)
  request.exchange.agree(lambda: _pin(request, board, size))
  return board


def device_address(request: Request, board: StatusBoard, record: int) -> int:
  """Returns what devices of this process call a record."""
  first = request.members[0].ordinal
  with request.driver.on(first):
    start = request.driver.call("cuMemHostGetDevicePointer", board.address, 0)
  return int(start) + record * RECORD_BYTES


def _shared_memory(request: Request, size: int) -> mmap.mmap:
  """Returns pages that all processes have, of a file whose name is gone."""
  lead = request.groups.processes[0]
  own = request.members[0].device.process_index
  with contextlib.ExitStack() as names:

    def create() -> bytes:
      if own != lead:
        return b""
      path = f"{_DIRECTORY}/jax_deepgemm_{secrets.token_hex(16)}"
      descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
      names.callback(os.unlink, path)
      with contextlib.closing(os.fdopen(descriptor, "r+b")) as file:
        file.truncate(size)
      return path.encode()

    path = request.exchange.gather(create)[lead].decode()

    def open_file() -> mmap.mmap:
      with open(path, "r+b") as file:
        return mmap.mmap(file.fileno(), size)

    return request.exchange.agree(open_file)


def _pin(request: Request, board: StatusBoard, size: int) -> None:
  ordinal = request.members[0].ordinal
  driver = request.driver
  with driver.on(ordinal):
    flags = _PORTABLE | _DEVICE_MAP
    driver.call("cuMemHostRegister", board.address, size, flags)
  request.stack.callback(_unpin, request, board)


def _unpin(request: Request, board: StatusBoard) -> None:
  with request.driver.on(request.members[0].ordinal):
    request.driver.call("cuMemHostUnregister", board.address)
