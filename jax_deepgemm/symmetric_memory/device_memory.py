"""Device memory of our own: allocated, written, freed."""

import contextlib
from typing import Any

import numpy as np

from jax_deepgemm.symmetric_memory.driver import (
  OUT_OF_MEMORY,
  CudaError,
  Driver,
)
from jax_deepgemm.symmetric_memory.rank_groups import Member

# The driver maps memory in pages of this size: what another process is given is
# then this allocation alone.
PAGE_BYTES = 2 << 20
_SPARE_BYTES = 512 << 20  # Contexts, kernels and NCCL take some later.


def allocate(
  driver: Driver, member: Member, num_bytes: int, stack: contextlib.ExitStack
) -> int:
  """Returns the address of new memory on a device; `stack` frees it.

  Raises:
    MemoryError: there is not as much beside XLA's pool.
  """
  size = -(-num_bytes // PAGE_BYTES) * PAGE_BYTES
  with driver.on(member.ordinal):
    try:
      address = int(driver.call("cuMemAlloc", size))
    except CudaError as error:
      if error.result != OUT_OF_MEMORY:
        raise
      free, total = driver.call("cuMemGetInfo")
      raise MemoryError(_no_room(member, size, free, total)) from error
  stack.callback(_free, driver, member.ordinal, address)
  return address


def write(driver: Driver, member: Member, address: int, data: bytes) -> None:
  """Copies bytes to a device."""
  source = np.frombuffer(data, np.uint8)
  with driver.on(member.ordinal):
    driver.call("cuMemcpyHtoD", address, source.ctypes.data, source.nbytes)
    # The copy returns when the bytes have left the host.
    driver.call("cuCtxSynchronize")


def zero(driver: Driver, member: Member, address: int, num_bytes: int) -> None:
  """Sets bytes on a device to 0."""
  with driver.on(member.ordinal):
    driver.call("cuMemsetD8", address, 0, num_bytes)
    driver.call("cuCtxSynchronize")


def _free(driver: Driver, ordinal: int, address: int) -> None:
  with driver.on(ordinal):
    driver.call("cuMemFree", address)


def _no_room(member: Member, size: int, free: int, total: int) -> str:
  pool = _pool_bytes(member.device)
  room = free + pool - size - _SPARE_BYTES
  fraction = max(int(100 * room / total), 0) / 100
  advice = (
    f"set XLA_PYTHON_CLIENT_MEM_FRACTION={fraction:.2f} before JAX starts"
    if fraction > 0
    else "use fewer tokens per rank"
  )
  return (
    f"symmetric buffer: device {member.ordinal} has no room for {size} bytes"
    f" beside XLA's pool of {pool}: {free} of {total} are free; {advice}"
  )


def _pool_bytes(device: Any) -> int:
  stats = device.memory_stats() or {}
  return stats.get("pool_bytes", stats.get("bytes_limit", 0))
