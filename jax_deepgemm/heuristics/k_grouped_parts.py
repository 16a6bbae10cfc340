"""What K-grouped GEMMs share: groups in parts, and room for them in a table."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from jax_deepgemm.heuristics.device import Device

# Room in a kernel's table of groups; one kernel serves all counts up to it.
_TABLE_SIZES = (64, 256, 1024)
MAX_GROUPS = _TABLE_SIZES[-1]
_MAX_PARTS = 16
_SUM_BYTES_PER_SECOND = 0.8  # Of the bandwidth, for the sum of parts,
_SUM_SECONDS = 3e-6  # and its launch.


@dataclasses.dataclass(frozen=True)
class KGroupedConfig:
  """How a kernel computes a problem.

  Attributes:
    gemm: of a tile; `with_c` says that results are added to what D holds.
    max_groups: room in the table of groups.
    num_parts: parts of equal length that each group is cut into along K, which
      are products of their own and are summed afterwards.
  """

  gemm: Any
  max_groups: int
  num_parts: int

  @property
  def block_m(self) -> int:
    """Rows of a tile."""
    return self.gemm.block_m

  @property
  def block_n(self) -> int:
    """Columns of a tile."""
    return self.gemm.block_n


def parts_and_tables(
  num_groups: int,
  num_k_blocks: int,
  device: Device,
  table_bytes: Callable[[int], int],
) -> Iterator[tuple[int, int, Device]]:
  """Returns each number of parts, room for them, and the device without it.

  Args:
    num_groups: of the problem.
    num_k_blocks: blocks of K that the groups have, all together.
    device: what computes it.
    table_bytes: of shared memory for a table of so many groups.

  Raises:
    ValueError: there are more groups than the table has room for.
  """
  if num_groups > MAX_GROUPS:
    raise ValueError(f"num_groups must be at most {MAX_GROUPS}")
  num_parts = 1
  while num_parts <= _MAX_PARTS:
    num_items = num_groups * num_parts
    if num_items > MAX_GROUPS or num_parts > num_k_blocks:
      return
    max_groups = next(size for size in _TABLE_SIZES if size >= num_items)
    free = device.smem_bytes - table_bytes(max_groups)
    yield num_parts, max_groups, dataclasses.replace(device, smem_bytes=free)
    num_parts *= 2


def sum_of_parts_seconds(
  elements: int, num_parts: int, device: Device
) -> float:
  """Returns the estimated time to sum parts of `elements` float32 results."""
  if num_parts == 1:
    return 0.0
  moved = 4 * (num_parts + 1) * elements
  bandwidth = _SUM_BYTES_PER_SECOND * device.memory_bandwidth
  return moved / bandwidth + _SUM_SECONDS
