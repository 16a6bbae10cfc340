"""Which backend makes the arenas of a mesh."""

from collections.abc import Callable

from jax_deepgemm.symmetric_memory import cuda_ipc, nvshmem, peer_mapped
from jax_deepgemm.symmetric_memory.rank_groups import RankGroups
from jax_deepgemm.symmetric_memory.request import Addresses, Request

_MAP_ARENAS: dict[str, Callable[[Request], Addresses]] = {
  "peer_mapped": peer_mapped.map_arenas,
  "cuda_ipc": cuda_ipc.map_arenas,
  "nvshmem": nvshmem.map_arenas,
}
BACKENDS = tuple(_MAP_ARENAS)


def choose(groups: RankGroups, name: str | None) -> str:
  """Returns the backend for these groups; the same in every process.

  Args:
    groups: devices of the mesh.
    name: what the user asks for, or None.

  Raises:
    ValueError: it cannot be.
    NotImplementedError: several processes have several devices each.
  """
  if name is None:
    name = "cuda_ipc" if groups.span_processes else "peer_mapped"
  counts = {
    process: sum(d.process_index == process for d in groups.devices)
    for process in groups.processes
  }
  if groups.span_processes and max(counts.values()) > 1:
    raise NotImplementedError(
      "symmetric buffer: a mesh axis over several processes needs one GPU for"
      f" each of them, got (process: GPUs) {counts}; start a process for each"
      " GPU, or one for all GPUs of the host"
    )
  if name == "peer_mapped" and groups.span_processes:
    raise ValueError(
      "backend: 'peer_mapped' needs all devices of a mesh axis in one process,"
      f" got processes {groups.processes}; expected 'cuda_ipc' or 'nvshmem'"
    )
  if name != "peer_mapped" and max(counts.values()) > 1:
    raise ValueError(
      f"backend: {name!r} needs one GPU in each process, got (process: GPUs)"
      f" {counts}; expected 'peer_mapped'"
    )
  return name


def map_arenas(name: str, request: Request) -> Addresses:
  """Returns the addresses that backend `name` found."""
  return _MAP_ARENAS[name](request)
