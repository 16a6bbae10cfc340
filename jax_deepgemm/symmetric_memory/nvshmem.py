"""Arenas of groups of processes, one device each, in NVSHMEM's heap."""

from jax_deepgemm.symmetric_memory import nvshmem_library
from jax_deepgemm.symmetric_memory.device_memory import PAGE_BYTES
from jax_deepgemm.symmetric_memory.nvshmem_library import NvshmemLibrary
from jax_deepgemm.symmetric_memory.rank_groups import Member
from jax_deepgemm.symmetric_memory.request import Addresses, Request

_ALIGNMENT = 4096
_RELEASE_TIMEOUT_S = 20.0


def map_arenas(request: Request) -> Addresses:
  """Returns what this process's device calls its group's arenas.

  Raises:
    ImportError: NVSHMEM is not installed.
    RuntimeError: a device cannot reach another's memory.
    MemoryError: NVSHMEM's heap has no room.
  """
  (member,) = request.members
  library = request.exchange.agree(nvshmem_library.load)
  _join(request, member, library)
  # All sizes are alike: no process may be offered more than another.
  size = -(-request.num_bytes // PAGE_BYTES) * PAGE_BYTES

  def allocate() -> int:
    with request.driver.on(member.ordinal):
      return library.allocate(size, _ALIGNMENT)

  own = request.exchange.agree(allocate)
  request.stack.callback(_free, request, member, library, own)
  process = member.device.process_index
  return {
    member: request.exchange.agree(
      lambda: tuple(
        own
        if peer == member.device
        else library.peer_address(own, process, peer.process_index)
        for peer in request.groups.peers(member)
      )
    )
  }


def _join(request: Request, member: Member, library: NvshmemLibrary) -> None:
  processes = request.groups.processes
  own = member.device.process_index
  joined = request.exchange.agree(lambda: library.is_initialized(processes))
  if joined:
    return
  identities = request.exchange.gather(
    lambda: library.unique_id() if own == processes[0] else b""
  )

  def initialize() -> None:
    with request.driver.on(member.ordinal):
      library.initialize(
        identities[processes[0]], processes, own, request.num_bytes
      )

  request.exchange.agree(initialize)


def _free(
  request: Request, member: Member, library: NvshmemLibrary, address: int
) -> None:
  # Without the others NVSHMEM would wait for ever; the process's end frees too.
  if request.exchange.meet(_RELEASE_TIMEOUT_S):
    with request.driver.on(member.ordinal):
      library.free(address)
