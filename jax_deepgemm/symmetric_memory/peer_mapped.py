"""Arenas of groups within one process: its devices map each other's memory."""

from jax_deepgemm.symmetric_memory import device_memory
from jax_deepgemm.symmetric_memory.driver import (
  PEER_ACCESS_ALREADY_ENABLED,
  CudaError,
  Driver,
)
from jax_deepgemm.symmetric_memory.rank_groups import Member
from jax_deepgemm.symmetric_memory.request import Addresses, Request


def map_arenas(request: Request) -> Addresses:
  """Returns what each device of this process calls its group's arenas.

  Raises:
    RuntimeError: a device cannot reach another's memory.
    MemoryError: a device has no room.
  """

  def prepare() -> dict[int, int]:
    for member in request.members:
      for peer in request.groups.peers(member):
        if peer != member.device:
          _enable(request.driver, member, peer.local_hardware_id)
    return {
      member.ordinal: device_memory.allocate(
        request.driver, member, request.num_bytes, request.stack
      )
      for member in request.members
    }

  own = request.exchange.agree(prepare)
  return {
    member: tuple(
      own[peer.local_hardware_id] for peer in request.groups.peers(member)
    )
    for member in request.members
  }


def _enable(driver: Driver, member: Member, peer: int) -> None:
  """Lets a device reach all memory of another, for good: XLA may, too."""
  device = driver.call("cuDeviceGet", member.ordinal)
  peer_device = driver.call("cuDeviceGet", peer)
  if not driver.call("cuDeviceCanAccessPeer", device, peer_device):
    raise RuntimeError(
      f"symmetric buffer: device {member.ordinal} cannot reach the memory of"
      f" device {peer}: the GPUs of a mesh axis need peer access, by NVLink or"
      " PCIe; see nvidia-smi topo -p2p r"
    )
  with driver.on(member.ordinal):
    try:
      driver.call("cuCtxEnablePeerAccess", driver.context(peer), 0)
    except CudaError as error:
      if error.result != PEER_ACCESS_ALREADY_ENABLED:
        raise
