"""Arenas of groups of processes on one host: memory opened by CUDA's handles.

Each process allocates for its one device, and opens what the others allocated.
"""

import ctypes
import pathlib
import socket
from typing import Any

from jax_deepgemm.symmetric_memory import device_memory
from jax_deepgemm.symmetric_memory.driver import CudaError, Driver
from jax_deepgemm.symmetric_memory.rank_groups import Member
from jax_deepgemm.symmetric_memory.request import Addresses, Request

_HANDLE_BYTES = 64
_LAZY_ENABLE_PEER_ACCESS = 1  # CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS
_RELEASE_TIMEOUT_S = 20.0


def map_arenas(request: Request) -> Addresses:
  """Returns what this process's device calls its group's arenas.

  Raises:
    NotImplementedError: the processes are on several hosts.
    RuntimeError: a device cannot reach another's memory.
    MemoryError: the device has no room.
  """
  (member,) = request.members
  exchange = request.exchange
  _check_one_host(exchange.gather(_host))
  allocated = []

  def export() -> bytes:
    own = device_memory.allocate(
      request.driver, member, request.num_bytes, request.stack
    )
    allocated.append(own)
    return _handle(request.driver, member, own)

  handles = exchange.gather(export)
  # Memory is freed only when nobody has it open any more.
  request.stack.callback(exchange.meet, _RELEASE_TIMEOUT_S)

  def open_peers() -> tuple[int, ...]:
    return tuple(
      allocated[0]
      if peer == member.device
      else _open(request, member, peer, handles[peer.process_index])
      for peer in request.groups.peers(member)
    )

  return {member: exchange.agree(open_peers)}


def _host() -> bytes:
  """Returns what tells a host from others, also where names are alike."""
  boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
  identity = boot.read_text().strip() if boot.exists() else ""
  return f"{socket.gethostname()} {identity}".strip().encode()


def _check_one_host(hosts: dict[int, bytes]) -> None:
  # Containers of one host have names of their own, and share its boot.
  if len({host.split()[-1] for host in hosts.values()}) > 1:
    names = ", ".join(sorted({h.decode() for h in hosts.values()}))
    raise NotImplementedError(
      "symmetric buffer: the devices of a mesh axis must be of one host, got"
      f" {names}; use an axis within the host, or ep_dispatch and ep_combine"
    )


def _handle(driver: Driver, member: Member, address: int) -> bytes:
  with driver.on(member.ordinal):
    handle = driver.call("cuIpcGetMemHandle", address)
  return ctypes.string_at(handle.getPtr(), _HANDLE_BYTES)


def _open(request: Request, member: Member, peer: Any, data: bytes) -> int:
  driver = request.driver
  handle = driver.structure("CUipcMemHandle")
  ctypes.memmove(handle.getPtr(), data, _HANDLE_BYTES)
  with driver.on(member.ordinal):
    try:
      address = driver.call(
        "cuIpcOpenMemHandle", handle, _LAZY_ENABLE_PEER_ACCESS
      )
    except CudaError as error:
      raise RuntimeError(
        f"symmetric buffer: device {member.ordinal} of process"
        f" {member.device.process_index} cannot open the memory of process"
        f" {peer.process_index}: {error}; the GPUs must have peer access and"
        " the processes one IPC namespace"
      ) from error
  request.stack.callback(_close, driver, member.ordinal, int(address))
  return int(address)


def _close(driver: Driver, ordinal: int, address: int) -> None:
  with driver.on(ordinal):
    driver.call("cuIpcCloseMemHandle", address)
