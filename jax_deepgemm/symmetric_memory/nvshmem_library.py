"""NVSHMEM's host library, through ctypes: one device per process."""

import ctypes
import functools

UNIQUE_ID_BYTES = 128
_INIT_WITH_UNIQUE_ID = 1 << 3


class _UniqueIdArguments(ctypes.Structure):
  _fields_ = (
    ("version", ctypes.c_int),
    ("id", ctypes.c_void_p),
    ("rank", ctypes.c_int),
    ("num_ranks", ctypes.c_int),
  )


class _InitArguments(ctypes.Structure):
  _fields_ = (
    ("version", ctypes.c_int),
    ("unique_id", _UniqueIdArguments),
    ("content", ctypes.c_char * 96),
  )


class _InitAttributes(ctypes.Structure):
  _fields_ = (
    ("version", ctypes.c_int),
    ("mpi_comm", ctypes.c_void_p),
    ("arguments", _InitArguments),
  )


def _version_1(structure: type[ctypes.Structure]) -> int:
  """Returns the number that tells NVSHMEM which layout it is given."""
  return (1 << 16) + ctypes.sizeof(structure)


class NvshmemLibrary:
  """What this package calls of NVSHMEM; all but `unique_id` is collective."""

  def __init__(self, library: ctypes.CDLL) -> None:
    self._library = library
    library.nvshmem_align.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    library.nvshmem_align.restype = ctypes.c_void_p
    library.nvshmem_ptr.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.nvshmem_ptr.restype = ctypes.c_void_p
    library.nvshmem_free.argtypes = [ctypes.c_void_p]
    library.nvshmem_free.restype = None
    self._ranks: tuple[int, ...] | None = None

  def unique_id(self) -> bytes:
    """Returns what the first process gives to all others."""
    identity = ctypes.create_string_buffer(UNIQUE_ID_BYTES)
    ctypes.c_int.from_buffer(identity).value = (1 << 16) + UNIQUE_ID_BYTES
    self._check("nvshmemx_get_uniqueid", ctypes.byref(identity))
    return identity.raw

  def is_initialized(self, ranks: tuple[int, ...]) -> bool:
    """Whether these processes are NVSHMEM's already.

    Raises:
      NotImplementedError: others are; a process belongs to one set of them.
    """
    if self._ranks not in (None, ranks):
      raise NotImplementedError(
        "symmetric buffer: NVSHMEM already serves the processes"
        f" {self._ranks} and cannot serve {ranks} too; use backend='cuda_ipc'"
      )
    return self._ranks is not None

  def initialize(
    self, unique_id: bytes, ranks: tuple[int, ...], own: int, num_bytes: int
  ) -> None:
    """Joins the processes; the current device is this one's.

    Args:
      unique_id: that of the first process.
      ranks: all processes, in order.
      own: this one.
      num_bytes: of the first buffer, for where the heap does not grow.
    """
    # Values that the user has set stay.
    environment = ctypes.CDLL(None)
    heap = max(2 * num_bytes, 1 << 30)
    environment.setenv(b"NVSHMEM_SYMMETRIC_SIZE", str(heap).encode(), 0)
    environment.setenv(b"NVSHMEM_DISABLE_NVLS", b"1", 0)
    identity = ctypes.create_string_buffer(unique_id, UNIQUE_ID_BYTES)
    attributes = _InitAttributes(version=_version_1(_InitAttributes))
    arguments = attributes.arguments
    arguments.version = _version_1(_InitArguments)
    arguments.unique_id = _UniqueIdArguments(
      _version_1(_UniqueIdArguments),
      ctypes.addressof(identity),
      ranks.index(own),
      len(ranks),
    )
    self._check(
      "nvshmemx_hostlib_init_attr",
      _INIT_WITH_UNIQUE_ID,
      ctypes.byref(attributes),
    )
    self._ranks = ranks

  def allocate(self, num_bytes: int, alignment: int) -> int:
    """Returns the address of memory that every process has.

    Raises:
      MemoryError: the heap has no room.
    """
    address = self._library.nvshmem_align(alignment, num_bytes)
    if not address:
      raise MemoryError(
        f"symmetric buffer: NVSHMEM has no room for {num_bytes} bytes; set"
        " NVSHMEM_SYMMETRIC_SIZE to the bytes of all buffers, and a smaller"
        " XLA_PYTHON_CLIENT_MEM_FRACTION, before JAX starts"
      )
    return address

  def peer_address(self, address: int, own: int, peer: int) -> int:
    """Returns what this process calls a peer's part of an allocation.

    Raises:
      RuntimeError: it cannot reach it.
    """
    assert self._ranks is not None
    found = self._library.nvshmem_ptr(address, self._ranks.index(peer))
    if not found:
      raise RuntimeError(
        f"symmetric buffer: process {own} cannot reach the memory of process"
        f" {peer}: NVSHMEM has no peer mapping between their GPUs"
      )
    return found

  def free(self, address: int) -> None:
    """Gives memory back; waits for all processes."""
    self._library.nvshmem_free(address)

  def _check(self, function: str, *arguments: object) -> None:
    status = getattr(self._library, function)(*arguments)
    if status != 0:
      raise RuntimeError(
        f"symmetric buffer: {function} failed with status {status}; run with"
        " NVSHMEM_DEBUG=INFO for its reason, or use backend='cuda_ipc'"
      )


@functools.cache
def load() -> NvshmemLibrary:
  """Returns the library, which a process initializes once.

  Raises:
    ImportError: it is not installed.
  """
  try:
    from cuda.pathfinder import load_nvidia_dynamic_lib

    path = load_nvidia_dynamic_lib("nvshmem_host").abs_path
  except (ImportError, RuntimeError, OSError) as error:
    raise ImportError(
      "symmetric buffer: backend 'nvshmem' needs NVSHMEM's host library: pip"
      " install nvidia-nvshmem-cu13 (or -cu12); 'cuda_ipc' needs none"
    ) from error
  return NvshmemLibrary(ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL))
